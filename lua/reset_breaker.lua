-- reset_breaker: close the breaker of a type and forget its failures and its probe.
--
-- KEYS    the queue's fixed keys that it uses (lua/README.md)
-- ARGV    prefix, request, type
-- RETURN  1
-- ERRORS  InvalidTask
local queue, tasks, alarms, tally, breakers, events, signals = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6],
  KEYS[7]
local prefix, request, type = ARGV[1], ARGV[2], ARGV[3]
-- @include lib/open.lua
-- @include lib/limits.lua
-- @include lib/breaker_change.lua
-- @include lib/request.lua

if recall(request) then return 1 end
if not is_id(type, 64) then return refuse(refusal('InvalidTask', 'not a task type', {field = 'type'})) end
local words = breaker(type)
if words then
  words[FAILURES], words[WAIT], words[SKIP] = 0, '', ''
  change_breaker(type, words, 'closed')
  -- @include lib/conclude.lua
end
remember(request, '1')
return 1
