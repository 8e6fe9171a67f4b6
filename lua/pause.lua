-- pause: stop handing out tasks, of the whole queue or of one type; the two are independent switches.
--
-- KEYS    the queue's fixed keys that it uses (lua/README.md)
-- ARGV    prefix, request, type ('' for the queue)
-- RETURN  1 when it was not paused before
-- ERRORS  InvalidTask
local queue, tasks, alarms, tally, paused, events, signals = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6],
  KEYS[7]
local prefix, request, type = ARGV[1], ARGV[2], ARGV[3]
-- @include lib/open.lua
-- @include lib/limits.lua
-- @include lib/signal.lua
-- @include lib/request.lua

local again = recall(request)
if again then return tonumber(again) end
if type ~= '' and not is_id(type, 64) then return refuse(refusal('InvalidTask', 'not a task type', {field = 'type'})) end
local key, field = queue, 'paused'
if type ~= '' then key, field = paused, type end
-- Also this answer is remembered: a repeated call must not act on what others have changed since (design rule 9).
if redis.call('HEXISTS', key, field) == 1 then
  remember(request, '0')
  return 0
end
hset(key, field, now)
event('paused', '', type)
signal('PAUSE', {type = type ~= '' and type or nil})
remember(request, '1')
-- @include lib/conclude.lua
return 1
