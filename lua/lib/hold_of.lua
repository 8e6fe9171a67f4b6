-- hold_of(agent): until when it gets no work (0: it may), and how many rate limits it met in a row since it last completed a
-- task (design rule 15).
local function hold_of(agent)
  local text = rare and redis.call('GET', prefix .. 'hold:' .. agent)
  if not text then return 0, 0 end
  local ends, count = string.match(text, '(%d+) (%d+)')
  return tonumber(ends), tonumber(count)
end
