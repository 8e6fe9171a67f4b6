-- cancel: cancel a task, and every task that waits for it, directly or through others.
--
-- KEYS    the queue's fixed keys that it uses (lua/README.md)
-- ARGV    prefix, request, id, reason
-- RETURN  {count, 1 when the cascade is done, the ids cancelled by this call (1,000 at most)}
-- ERRORS  TaskNotFound, InvalidState
local queue, settings, tasks, documents, index, unique, completed, cancelled, tombstones, todo, alarms, types, tally,
  breakers, dependencies, waiting, attempts, errors, results, checkpoints, progress, reasons, escalations, events,
  signals = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11],
  KEYS[12], KEYS[13], KEYS[14], KEYS[15], KEYS[16], KEYS[17], KEYS[18], KEYS[19], KEYS[20], KEYS[21], KEYS[22],
  KEYS[23], KEYS[24], KEYS[25]
local prefix, request, id, reason = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
-- @include lib/open.lua
-- @include lib/cancel_task.lua
-- @include lib/request.lua

local again = recall(request)
if again then return cjson.decode(again) end
load_one(id)
local task = known[id]
if not task then return refuse(refusal('TaskNotFound', 'there is no task ' .. id, {id = id})) end
if public(task) ~= 'pending' and task[STATE] ~= 'leased' then
  return refuse(refusal('InvalidState', id .. ' is ' .. public(task) .. ': only pending and in-progress tasks can be cancelled',
    {id = id, state = public(task)}))
end
cancel_task(id, task, reason)
of_cascade[id] = true
-- @include lib/carry_on.lua
carried = carried or {}
local finished = cancelled_here + 1
-- @include lib/retention.lua
local ids = {id, unpack(carried, 1, math.min(#carried, 999))}
local reply = {#carried + 1, all_done and 1 or 0, ids}
remember(request, cjson.encode(reply))
-- @include lib/conclude.lua
return reply
