-- rate_limited: hold the agent that met a rate limit and slow the fleet down (design rule 15).
--
-- KEYS    the queue's fixed keys that it uses (lua/README.md)
-- ARGV    prefix, id, token, request, error text, wait (ms, '' to back off), spread (0 to 1, random), checkpoint or '',
--         'release' to hand the task back, else ''
-- RETURN  {until (ms), wait (ms), 1 when the task was handed back}
-- ERRORS  TaskNotFound, StaleClaim, InvalidTask
local queue, settings, tasks, todo, alarms, tally, breakers, dependencies, waiting, attempts, errors, results,
  checkpoints, progress, reasons, escalations, events, signals = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6],
  KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11], KEYS[12], KEYS[13], KEYS[14], KEYS[15], KEYS[16], KEYS[17], KEYS[18]
local prefix, id, token, request, text, wait, spread, checkpoint, give = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9]
-- @include lib/open.lua
-- @include lib/setting.lua
-- @include lib/side_write.lua
-- @include lib/claimed.lua
-- @include lib/hold_of.lua
-- @include lib/hold.lua
-- @include lib/return_probe.lua
-- @include lib/hand_back.lua
-- @include lib/slow_down.lua
-- @include lib/request.lua

local FIRST_WAIT, LONGEST_WAIT, SPREAD = 60000, 3600000, 0.1

local again = recall(request)
if again then return cjson.decode(again) end
local task, refused = claimed(id, token)
if not task then return refuse(refused) end
settings_of('checkpoint_bytes', 'longest_hold_ms', 'longest_slowdown_ms')
if #checkpoint > setting('checkpoint_bytes') then
  return refuse(refusal('InvalidTask', 'at most ' .. setting('checkpoint_bytes') .. ' bytes', {id = id, field = 'checkpoint'}))
end
if wait ~= '' and not (tonumber(wait) and tonumber(wait) >= 0) then
  return refuse(refusal('InvalidTask', 'not negative', {id = id, field = 'retryAfter'}))
end

local agent, type = task[AGENT], task[TYPE]
local held_until, in_a_row = hold_of(agent)
in_a_row = in_a_row + 1
if wait == '' then
  wait = math.min(FIRST_WAIT * 2 ^ (in_a_row - 1), LONGEST_WAIT) * (1 + SPREAD * (tonumber(spread) or 0))
end
wait = math.floor(math.min(wait, FARTHEST_WAIT))
local held_for = math.min(wait, setting('longest_hold_ms'))
local ends = math.max(held_until, now + held_for)
local released = give == 'release' or wait > setting('longest_hold_ms')

if checkpoint ~= '' then keep(id, task, 'C', checkpoint) end
if released then
  hand_back(id, task, 'rate_limited', 0, text)
else
  return_probe(type, id, token)
  -- The hold must not eat the attempt: its time limit and its lease move on by what the agent has to wait. Told of one
  -- hold many times, by parallel calls of one agent, the limit still goes no further than a whole timeout behind it.
  local limit = math.max(task[LIMIT], math.min(task[LIMIT] + (ends - now), ends + task[TIMEOUT]))
  -- One whose time is over, and whom nobody has reaped yet, would be reaped in the middle of its hold.
  if task[LIMIT] + 0 <= now then limit = ends + task[LEASE] end
  local deadline = tonumber(redis.call('ZSCORE', prefix .. 'leased:' .. type, id))
  task[LIMIT] = limit
  touch(id, task)
  zadd(prefix .. 'leased:' .. type, math.max(deadline, math.min(ends + task[LEASE], limit)), id)
end
hold(agent, ends, in_a_row)
event('held', id, type, agent, token, string.format('%.0f ', ends) .. text)
slow_down(wait / 2, text)
local reply = {string.format('%.0f', ends), ends - now, released and 1 or 0}
remember(request, cjson.encode(reply))
-- @include lib/carry_on.lua
-- @include lib/conclude.lua
return reply
