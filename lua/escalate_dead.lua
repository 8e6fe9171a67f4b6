-- escalate_dead: note that a dead letter needs a human decision.
--
-- KEYS    the queue's fixed keys that it uses (lua/README.md)
-- ARGV    prefix, request, id, note, by (who decides)
-- RETURN  when (ms)
-- ERRORS  TaskNotFound, InvalidState
local queue, tasks, alarms, tally, dependencies, waiting, attempts, errors, results, checkpoints, progress, reasons,
  escalations, events, signals = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9],
  KEYS[10], KEYS[11], KEYS[12], KEYS[13], KEYS[14], KEYS[15]
local prefix, request, id, note, by = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
-- @include lib/open.lua
-- @include lib/side_write.lua
-- @include lib/cut.lua
-- @include lib/dead_letter.lua
-- @include lib/decide.lua
-- @include lib/request.lua

local again = recall(request)
if again then return again end
local task, refused = dead_letter(id)
if not task then return refuse(refused) end
decide('escalate', id, task, by, note, '')
keep(id, task, 'S', string.format('%.0f ', now) .. cut(note, 16384))
event('escalated', id, task[TYPE], '', '', note)
local reply = string.format('%.0f', now)
remember(request, reply)
-- @include lib/conclude.lua
return reply
