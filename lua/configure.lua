-- configure: change settings of the queue, all of the given ones at once.
--
-- KEYS    the queue's fixed keys that it uses (lua/README.md)
-- ARGV    prefix, request, expected (the version that must be in force, '' for any), then name and value (as stored; '' takes the default again) of each
-- RETURN  the version of the settings after the change
-- ERRORS  InvalidState
local queue, settings, tasks, alarms, types, tally, events, signals = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5],
  KEYS[6], KEYS[7], KEYS[8]
local prefix, request, expected = ARGV[1], ARGV[2], ARGV[3]
-- @include lib/open.lua
-- @include lib/signal.lua
-- @include lib/mark_all.lua
-- @include lib/request.lua

local again = recall(request)
if again then return tonumber(again) end
local known_version = redis.call('HGET', settings, 'version') or '0'
if expected ~= '' and expected ~= known_version then
  return refuse(refusal('InvalidState', 'somebody else has changed the settings meanwhile: they are version ' .. known_version, {field = 'version'}))
end
for at = 4, #ARGV, 2 do
  if ARGV[at + 1] == '' then hdel(settings, ARGV[at]) else hset(settings, ARGV[at], ARGV[at + 1]) end
end
add(settings, 'version', 1)
hset(queue, 'configured', '1')
event('configured')
signal('CONFIG', {})
mark_all()
-- @include lib/conclude.lua
local version = redis.call('HGET', settings, 'version')
remember(request, version)
return tonumber(version)
