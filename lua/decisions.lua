-- decisions: what was decided about dead letters, oldest first.
--
-- KEYS    the queue's fixed keys that it uses (lua/README.md)
-- ARGV    prefix, the entry after which to begin ('' for the oldest that is kept), limit
-- RETURN  entries of the stream (lib/decide.lua)
-- ERRORS  none
local queue, decisions = KEYS[1], KEYS[2]
local prefix, since, limit = ARGV[1], ARGV[2], ARGV[3]
-- @include lib/clock.lua
-- @include lib/schema.lua

return redis.call('XRANGE', decisions, since == '' and '-' or '(' .. since, '+', 'COUNT', limit)
