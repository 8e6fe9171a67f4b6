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

local NAMES = {
  'payload_bytes', 'checkpoint_bytes', 'result_bytes', 'document_bytes', 'keep_ms', 'keep_count', 'tombstone_ms',
  'longest_hold_ms', 'longest_slowdown_ms', 'decision_report', 'decision_report_keys', 'backoff_jitter', 'breaker',
}
local found, reply = {version = '0'}, {}
for _, name in ipairs(NAMES) do found[name] = tostring(default(name)) end
local stored = redis.call('HGETALL', settings)
for at = 1, #stored, 2 do found[stored[at]] = stored[at + 1] end
for name, value in pairs(found) do
  reply[#reply + 1] = name
  reply[#reply + 1] = value
end
return reply
