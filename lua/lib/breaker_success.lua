-- breaker_success(type, id, token): a task was completed. Nearly always there is no entry, and nothing to do.
-- @include lib/breaker.lua
local function breaker_success(type, id, token)
  local words = breaker(type)
  if not words then return end
  -- @include lib/breaker_change.lua
  if words[B_STATE] == 'closed' then
    if tonumber(words[FAILURES]) > 0 then
      words[FAILURES] = 0
      save_breaker(type, words)
    end
  elseif is_probe(words, id, token) then
    words[FAILURES], words[WAIT], words[SKIP] = 0, '', ''
    change_breaker(type, words, 'closed')
  end
end
