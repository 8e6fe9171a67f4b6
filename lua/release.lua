-- release: hand a task back without a charge.
--
-- KEYS    the queue's fixed keys that it uses (lua/README.md)
-- ARGV    prefix, id, token, delay (ms), reason
-- RETURN  the outcome: state, retries, availableAt (ms or '') between blanks
-- ERRORS  TaskNotFound, StaleClaim, InvalidTask
local queue, settings, tasks, todo, alarms, tally, breakers, dependencies, waiting, attempts, errors, results,
  checkpoints, progress, reasons, escalations, events, signals = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6],
  KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11], KEYS[12], KEYS[13], KEYS[14], KEYS[15], KEYS[16], KEYS[17], KEYS[18]
local prefix, id, token, delay, reason = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
-- @include lib/open.lua
-- @include lib/release_claim.lua

local outcome, refused = release_claim(id, token, delay, reason)
-- @include lib/carry_on.lua
-- @include lib/conclude.lua
return outcome or refuse(refused)
