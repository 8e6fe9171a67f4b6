-- An agent's hold: until when it gets no work, and how many rate limits it met in a row since it last completed a task
-- (design rule 15). The key's own expiry only cleans up.
local hold_of, hold, forgive
do
  local HOLD_KEPT = 86400000

  function hold_of(agent)
    local text = redis.call('GET', prefix .. 'hold:' .. agent)
    if not text then return 0, 0 end
    local ends, count = string.match(text, '(%d+) (%d+)')
    return tonumber(ends), tonumber(count)
  end

  function hold(agent, ends, count)
    local kept = math.max(ends - now, 0) + HOLD_KEPT
    redis.call('SET', prefix .. 'hold:' .. agent, string.format('%.0f %d', ends, count), 'PX', string.format('%.0f', kept))
  end

  -- forgive(agent): it completed a task, so its next rate limit is the first in a row again. The hold itself stays.
  function forgive(agent)
    local ends, count = hold_of(agent)
    if count == 0 then return end
    if ends > now then hold(agent, ends, 0) else redis.call('DEL', prefix .. 'hold:' .. agent) end
  end
end
