-- claim: lease the best ready tasks to an agent.
--
-- KEYS    the queue's own hash alone: each costs every call 0.1 µs (lua/README.md)
-- ARGV    prefix, agent, host, request, limit, lease (ms, '' for the task's timeout), the task types between blanks
-- RETURN  a row per task: its record (lib/record.lua), token, lease (ms); none: {false, reason, ms until time alone can
--         change that, or false}
-- ERRORS  InvalidTask
local queue = KEYS[1]
local prefix, agent, host, request, limit, lease, wanted = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
-- @include lib/open.lua
-- @include lib/claim_limits.lua
-- @include lib/request.lua
-- @include lib/remember_claim.lua

limit, lease = tonumber(limit), tonumber(lease)
local names, refused = types_of(wanted)
refused = refused or check_claim(agent, host, limit, lease)
if refused then return refuse(refused) end
look_for(todo, paused, breakers, prefix .. 'hold:' .. agent, prefix .. 'request:' .. request)
local again = rare and recall(request)
if again then
  -- @include lib/recall_claim.lua
  return recalled_rows(again)
end
-- @include lib/take.lua
if rows[1] then remember_claim(request, rows) end
-- @include lib/conclude.lua
return rows
