-- retry_dead: a dead letter becomes pending again with all its attempts.
--
-- KEYS    the queue's fixed keys that it uses (lua/README.md)
-- ARGV    prefix, request, id, delay (ms), 'force' to allow a second equal task, by (who decides), why
-- RETURN  {state, retries, availableAt (ms or '')}
-- ERRORS  TaskNotFound, InvalidState, DuplicateTask, InvalidTask
local queue, tasks, unique, alarms, tally, dependencies, waiting, attempts, errors, results, checkpoints, progress,
  reasons, escalations, events, signals = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8],
  KEYS[9], KEYS[10], KEYS[11], KEYS[12], KEYS[13], KEYS[14], KEYS[15], KEYS[16]
local prefix, request, id, delay, force, by, why = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
-- @include lib/open.lua
-- @include lib/revive.lua
-- @include lib/dead_letter.lua
-- @include lib/canary.lua
-- @include lib/decide.lua
-- @include lib/request.lua

local LONGEST_DELAY = 315360000000

local again = recall(request)
if again then return again end
delay = tonumber(delay)
if not delay or not (delay >= 0 and delay <= LONGEST_DELAY) then
  return refuse(refusal('InvalidTask', 'from 0 to 10 years', {id = id, field = 'delay'}))
end
local task, refused = dead_letter(id)
if not task then return refuse(refused) end
local equal = force ~= 'force' and equal_of(id, task)
if equal then
  return refuse(refusal('DuplicateTask', 'its equal ' .. equal .. ' is ' .. public(known[equal]),
    {id = id, equal = equal, state = public(known[equal])}))
end
decide('retry', id, task, by, why, delay > 0 and 'after ' .. delay / 1000 .. ' s' or '')
forget_canary(id)
revive(id, task, now + delay)
local reply = public(task) .. ' 0 ' .. task[AVAILABLE]
remember(request, reply)
-- @include lib/conclude.lua
return reply
