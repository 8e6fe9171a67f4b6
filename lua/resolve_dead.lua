-- resolve_dead: a person did it: the dead letter is completed, and what waits for it goes on.
--
-- KEYS    the queue's fixed keys that it uses (lua/README.md)
-- ARGV    prefix, request, id, report (as of complete), result (JSON), by (who decides), why
-- RETURN  {state, retries, availableAt (ms or '')}
-- ERRORS  TaskNotFound, InvalidState, DecisionReportMissing, InvalidTask
local queue, settings, tasks, documents, index, unique, completed, cancelled, tombstones, todo, alarms, types, tally,
  breakers, dependencies, waiting, attempts, errors, results, checkpoints, progress, reasons, escalations, events,
  signals = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11],
  KEYS[12], KEYS[13], KEYS[14], KEYS[15], KEYS[16], KEYS[17], KEYS[18], KEYS[19], KEYS[20], KEYS[21], KEYS[22],
  KEYS[23], KEYS[24], KEYS[25]
local prefix, request, id, report, body, by, why = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
-- @include lib/open.lua
-- @include lib/setting.lua
-- @include lib/side_write.lua
-- @include lib/dead_letter.lua
-- @include lib/canary.lua
-- @include lib/decide.lua
-- @include lib/report_gap.lua
-- @include lib/leave_release.lua
-- @include lib/owners.lua
-- @include lib/request.lua

local again = recall(request)
if again then return again end
local task, refused = dead_letter(id)
if not task then return refuse(refused) end
if #body > setting('result_bytes') then
  return refuse(refusal('InvalidTask', 'at most ' .. setting('result_bytes') .. ' bytes', {id = id, field = 'result'}))
end
local gap = report_gap(report)
if gap then return refuse(refusal('DecisionReportMissing', gap, {id = id})) end
decide('resolve', id, task, by, why, '')
forget_canary(id)
task[ENDED] = now
keep(id, task, 'R', body)
own(id, task, false)
lower(id, task, 'I')
transition(id, task, 'completed', now)
leave_release(id)
event('resolved', id, task[TYPE])
local reply = 'completed ' .. task[RETRIES] .. ' '
-- @include lib/carry_on.lua
local finished = 1
-- @include lib/retention.lua
remember(request, reply)
-- @include lib/conclude.lua
return reply
