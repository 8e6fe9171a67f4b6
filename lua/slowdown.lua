-- slowdown: no claims for a while, for every agent; 0 lifts it.
--
-- KEYS    the queue's fixed keys that it uses (lua/README.md)
-- ARGV    prefix, request, wait (ms), reason
-- RETURN  until when (ms), 0 when it was lifted
-- ERRORS  InvalidTask
local queue, settings, tasks, alarms, types, tally, events, signals = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5],
  KEYS[6], KEYS[7], KEYS[8]
local prefix, request, wait, reason = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
-- @include lib/open.lua
-- @include lib/slow_down.lua
-- @include lib/mark_all.lua
-- @include lib/request.lua

local again = recall(request)
if again then return again end
wait = tonumber(wait)
if not wait or not (wait >= 0 and wait <= FARTHEST_WAIT) then
  return refuse(refusal('InvalidTask', 'from 0 to 10 years', {field = 'wait'}))
end
local ends = 0
if wait == 0 then
  hdel(queue, 'slowdown')
  event('slowdown-lifted', '', '', '', '', reason)
  signal('RESUME', {reason = cut(reason, 200)})
  mark_all()
else
  ends = slow_down(wait, reason)
end
ends = string.format('%.0f', ends)
remember(request, ends)
-- @include lib/conclude.lua
return ends
