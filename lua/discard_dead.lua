-- discard_dead: forget a dead letter for good; what waits for it is cancelled.
--
-- KEYS    the queue's fixed keys that it uses (lua/README.md)
-- ARGV    prefix, request, id, reason, by (who decides)
-- RETURN  {count of cancelled dependents, 1 when the cascade is done, their ids (1,000 at most)}
-- ERRORS  TaskNotFound, InvalidState
local queue, settings, tasks, documents, index, unique, completed, cancelled, tombstones, todo, alarms, types, tally,
  breakers, dependencies, waiting, attempts, errors, results, checkpoints, progress, reasons, escalations, events,
  signals = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11],
  KEYS[12], KEYS[13], KEYS[14], KEYS[15], KEYS[16], KEYS[17], KEYS[18], KEYS[19], KEYS[20], KEYS[21], KEYS[22],
  KEYS[23], KEYS[24], KEYS[25]
local prefix, request, id, reason, by = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
-- @include lib/open.lua
-- @include lib/dead_letter.lua
-- @include lib/canary.lua
-- @include lib/decide.lua
-- @include lib/remove.lua
-- @include lib/to_do.lua
-- @include lib/request.lua

local again = recall(request)
if again then return cjson.decode(again) end
local task, refused = dead_letter(id)
if not task then return refuse(refused) end
decide('discard', id, task, by, reason, '')
forget_canary(id)
event('discarded', id, task[TYPE], '', '', reason)
-- The id may be in use again before the cascade is through: its dependents move to a set with a number of its own.
if redis.call('EXISTS', prefix .. 'dependents:' .. id) == 1 then
  local number = (tonumber(state.sequence) or 0) + 1
  local key = prefix .. 'dependents:' .. number .. '~'
  hset(queue, 'sequence', number)
  redis.call('RENAME', prefix .. 'dependents:' .. id, key)
  to_do[#to_do + 1] = {text = 'discard ' .. number .. '~ ' .. id, kind = 'discard', parent = id, key = key}
  of_cascade[id] = true
end
remove(id, task)
-- @include lib/carry_on.lua
carried = carried or {}
local finished = cancelled_here
-- @include lib/retention.lua
local reply = {#carried, all_done and 1 or 0, {unpack(carried, 1, math.min(#carried, 1000))}}
remember(request, cjson.encode(reply))
-- @include lib/conclude.lua
return reply
