-- complete: end a claim with success.
--
-- KEYS    the queue's own hash alone: each costs every call 0.1 µs (lua/README.md)
-- ARGV    prefix, id, token, report (the keys of the decision report between newlines, '' for none), result (JSON)
-- RETURN  the outcome: state, retries, availableAt (ms or '') between blanks
-- ERRORS  TaskNotFound, StaleClaim, DecisionReportMissing, InvalidTask
local queue = KEYS[1]
local prefix, id, token, report, body = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
-- @include lib/open.lua
-- @include lib/side_write.lua
-- @include lib/finish.lua
-- @include lib/forgive.lua

load_one(id)
do
  -- Asked together, since most often nothing of it is there.
  local dependents = prefix .. 'dependents:' .. id
  local count = look_for(todo, breakers, prefix .. 'hold:' .. (known[id] and known[id][AGENT] or ''), dependents)
  any_dependents = rare and redis.call('EXISTS', dependents) == 1
  if any_dependents and count == 1 then rare = false end
end
direct = true
local outcome, refused, agent = finish(id, token, report, body)
local finished = agent and 1 or 0
if agent then forgive(agent) end
-- @include lib/retention.lua
-- @include lib/carry_on.lua
-- @include lib/conclude.lua
return outcome or refuse(refused)
