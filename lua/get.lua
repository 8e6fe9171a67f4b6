-- get: one task with all that belongs to it.
--
-- KEYS    the queue's fixed keys that it uses (lua/README.md)
-- ARGV    prefix, id
-- RETURN  its record (lib/record.lua), or false
-- ERRORS  none
local queue, tasks, documents, tally, dependencies, waiting, attempts, errors, results, checkpoints, progress,
  reasons, escalations = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10],
  KEYS[11], KEYS[12], KEYS[13]
local prefix, id = ARGV[1], ARGV[2]
-- @include lib/open.lua
-- @include lib/record.lua
-- @include lib/leases_of.lua

load_one(id)
return records({id}, leases_of({id}))[1] or false
