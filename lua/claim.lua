-- claim: lease the best ready tasks to an agent.
--
-- KEYS    the queue's fixed keys that most calls use (lua/README.md)
-- ARGV    prefix, agent, host, request, limit, lease (ms, '' for the task's timeout), the task types between blanks
-- RETURN  a row per task: its record (lib/record.lua), token, lease (ms); none: {false, reason, ms until time alone can
--         change that, or false}
-- ERRORS  InvalidTask
local queue, tasks, documents, todo, alarms, paused, breakers, events =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local prefix, agent, host, request, limit, lease, wanted = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
-- @include lib/open.lua
-- @include lib/claim_limits.lua
-- @include lib/request.lua
-- @include lib/remember_claim.lua

limit, lease = tonumber(limit), tonumber(lease)
local names, refused = types_of(wanted)
refused = refused or check_claim(agent, host, limit, lease)
if refused then return refuse(refused) end
local again = recall(request)
if again then
  -- @include lib/recall_claim.lua
  return recalled_rows(again)
end
look_for(todo, paused, breakers, prefix .. 'hold:' .. agent)
-- @include lib/take.lua
if rows[1] then remember_claim(request, rows) end
-- @include lib/conclude.lua
return rows
