-- explain: why a task does not run. The claim itself answers: it is tried for the task's type, and nothing of it is kept.
--
-- KEYS    the queue's fixed keys that it uses (lua/README.md)
-- ARGV    prefix, id, silent (lib/live_agents.lua)
-- RETURN  false when there is no such task, else {now, record (lib/record.lua), what a claim of its type gets: {id} or {false,
--         reason, ms or false}, its place in line (0: in none) and its state as that claim sees it, paused or false,
--         slowdown until or false, gate of its type (lib/gate_of.lua), live agents, {roots, whether all were found,
--         rows of the first 100: {id, type, place, agent, lease deadline, availableAt, endedAt, last error or false, why
--         cancelled or false, escalatedAt}}}; times are '' where there are none
-- ERRORS  none
local queue, settings, tasks, documents, todo, alarms, tally, paused, breakers, dependencies, waiting, attempts,
  errors, results, checkpoints, progress, reasons, escalations, agents, seen = KEYS[1], KEYS[2], KEYS[3], KEYS[4],
  KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11], KEYS[12], KEYS[13], KEYS[14], KEYS[15], KEYS[16],
  KEYS[17], KEYS[18], KEYS[19], KEYS[20]
local prefix, id, silent = ARGV[1], ARGV[2], ARGV[3]
-- @include lib/trial.lua
-- @calls trial
-- @include lib/open.lua
-- @include lib/breaker.lua
-- @include lib/record.lua
-- @include lib/leases_of.lua
-- @include lib/rank.lua
-- @include lib/roots.lua
-- @include lib/live_agents.lua
-- @include lib/gate_of.lua

load_one(id)
if not known[id] then return false end
-- As it is stored: the claim that is tried changes what is known.
local record, type, gate = records({id}, leases_of({id}))[1], known[id][TYPE], gate_of(known[id][TYPE])
local living = live_agents(type)
-- So is what it waits for: the trial would show the best of these tasks as one that is given away.
local first, total, complete, told = {}, 0, true, {}
if known[id][STATE] == 'blocked' then
  first, total, complete = roots(id)
  told = tell_roots(first)
end
-- A claim for this type alone by an agent that nothing holds.
local names, agent, host, limit, lease = {type}, '', '', 1, nil
-- @include lib/take.lua
local given = rows[1] and rows[1][1]
local task, place = known[id], 0
local seen_as = given == id and 'ready' or task and task[STATE] or 'removed'
if given == id then place = 1
elseif seen_as == 'ready' then
  place = redis.call('ZCOUNT', prefix .. 'ready:' .. type, '-inf', '(' .. rank(task)) + (given and 2 or 1)
end
if seen_as ~= 'blocked' then total, complete, told = 0, true, {} end
return {
  string.format('%.0f', now), record, given and {given} or rows, place, seen_as, state.paused or false, state.slowdown or false, gate,
  living, {total, complete and 1 or 0, told},
}
