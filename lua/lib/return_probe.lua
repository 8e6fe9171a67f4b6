-- return_probe(type, id, token): a probe that was handed back proved nothing: the breaker is due again at once, so that it
-- can't stay half-open for ever.
-- @include lib/breaker_change.lua
local function return_probe(type, id, token)
  local words = breaker(type)
  if words and is_probe(words, id, token) then
    words[WAIT] = 'now'
    change_breaker(type, words, 'open')
  end
end
