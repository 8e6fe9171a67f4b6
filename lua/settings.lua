-- settings: every setting with its value or default, as stored.
--
-- KEYS    the queue's fixed keys that it uses (lua/README.md)
-- ARGV    prefix
-- RETURN  {name, value, name, value …}
-- ERRORS  none
local queue, settings = KEYS[1], KEYS[2]
local prefix = ARGV[1]
-- @include lib/clock.lua
-- @include lib/schema.lua
-- @include lib/setting.lua

local found, reply = {version = '0'}, {}
for name, value in pairs(DEFAULTS) do found[name] = tostring(value) end
local stored = redis.call('HGETALL', settings)
for at = 1, #stored, 2 do found[stored[at]] = stored[at + 1] end
for name, value in pairs(found) do
  reply[#reply + 1] = name
  reply[#reply + 1] = value
end
return reply
