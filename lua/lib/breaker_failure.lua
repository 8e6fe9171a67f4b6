-- breaker_failure(type, id, token, died): an attempt was charged. Outside closed only the probe moves the state: an older
-- task that ends now says nothing about recovery.
-- @include lib/breaker_change.lua
local function breaker_failure(type, id, token, died)
  local words = breaker(type) or new_breaker()
  if words[B_STATE] == 'closed' then
    local threshold, _, _, count = breaker_setting(type)
    if not died and count ~= 'attempt' then return end
    words[FAILURES], words[LAST_FAILURE] = words[FAILURES] + 1, stamp
    if words[FAILURES] >= threshold then open_breaker(type, words, 'half') else save_breaker(type, words) end
  elseif is_probe(words, id, token) then
    words[FAILURES], words[LAST_FAILURE], words[SKIP] = words[FAILURES] + 1, stamp, id
    open_breaker(type, words, 'cool')
  end
end
