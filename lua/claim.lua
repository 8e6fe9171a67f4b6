-- claim: lease the best ready tasks to an agent.
--
-- KEYS    the queue's fixed keys that it uses (lua/README.md)
-- ARGV    prefix, agent, host, request, limit, lease (ms, '' for the task's timeout), then the task types
-- RETURN  a row per task: its record (lib/record.lua), token, lease (ms); none: {false, reason, ms until time alone can
--         change that, or false}
-- ERRORS  InvalidTask
local queue, settings, tasks, documents, todo, alarms, tally, paused, breakers, dependencies, waiting, attempts,
  errors, results, checkpoints, progress, reasons, escalations, events, signals = KEYS[1], KEYS[2], KEYS[3], KEYS[4],
  KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11], KEYS[12], KEYS[13], KEYS[14], KEYS[15], KEYS[16],
  KEYS[17], KEYS[18], KEYS[19], KEYS[20]
local prefix, agent, host, request, limit, lease = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
-- @include lib/open.lua
-- @include lib/claim_limits.lua
-- @include lib/request.lua
-- @include lib/remember_claim.lua

local names = distinct(7, #ARGV)
limit, lease = tonumber(limit), tonumber(lease)
local refused = check_claim(agent, host, names, limit, lease)
if refused then return refuse(refused) end
local again = recall(request)
if again then
  -- @include lib/recall_claim.lua
  return recalled_rows(again)
end
look_for({todo, paused, breakers, prefix .. 'hold:' .. agent})
-- @include lib/take.lua
if rows[1] then remember_claim(request, rows) end
-- @include lib/conclude.lua
return rows
