-- gate_of(type): what may keep a type from being given out: {type, 1 when paused, its breaker's words or false, when an open
-- breaker lets a probe through (ms) or false}.
-- @include lib/breaker_due.lua
local function gate_of(type)
  local words = breaker(type)
  local due = words and words[B_STATE] == 'open' and breaker_due(type, words)
  return {
    type, redis.call('HEXISTS', paused, type), words and table.concat(words, ' ') or false,
    due and string.format('%.0f', due) or false,
  }
end
