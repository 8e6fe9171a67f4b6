-- change_breaker(type, words, to): every change leaves a mark: somebody must learn the new state, or at least the new time
-- to ask again.
-- @include lib/breaker.lua
-- @include lib/breaker_due.lua
local function new_breaker()
  return {'closed', 0, '', '', '', '', '', '', ''}
end

local function save_breaker(type, words)
  read_breakers[type] = words
  hset(breakers, type, table.concat(words, ' '))
end

local function change_breaker(type, words, to)
  words[B_STATE] = to
  if to ~= 'half-open' then words[PROBE], words[PROBE_TOKEN] = '', '' end
  save_breaker(type, words)
  event('breaker-' .. to, '', type, '', '', words[FAILURES] .. ' failures')
  mark(type)
end

local function open_breaker(type, words, wait)
  words[OPENED], words[WAIT] = now, wait
  change_breaker(type, words, 'open')
end

local function is_probe(words, id, token)
  return words[B_STATE] == 'half-open' and words[PROBE] == id and words[PROBE_TOKEN] == tostring(token)
end
