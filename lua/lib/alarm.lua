-- marked: types for which work was left for somebody (design rule 7). conclude leaves one wake-up mark per type, whatever
-- the number of tasks. A waiting agent pops it, claims, and passes it on if work is left.
-- due_rung, leases_rung: alarms to be set, type -> time. One sorted set says when each type needs a look next: 'd:<type>' its
-- first delayed task, 'l:<type>' its first lease. An alarm may ring early (its task went away) and is then set anew; it never
-- rings late.
-- Marks are only left where somebody may be waiting: every waiting agent was refused, and said so, in the last half minute.
local marked = {}
local due_rung, leases_rung
local waited = tonumber(state.waited)
if waited and waited > now then waited = now end
local awaited = waited and now - waited < 60000

local function mark(type)
  marked[type] = true
end

local function ring(rung, type, at)
  local before = rung[type]
  if not before or (before ~= at and tonumber(at) < tonumber(before)) then rung[type] = at end
end

local function ring_due(type, at)
  due_rung = due_rung or {}
  ring(due_rung, type, at)
end

local function ring_lease(type, at)
  leases_rung = leases_rung or {}
  ring(leases_rung, type, at)
end
