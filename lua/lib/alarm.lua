-- marked: types for which work was left for somebody (design rule 7). conclude leaves one wake-up mark per type, whatever
-- the number of tasks. A waiting agent pops it, claims, and passes it on if work is left.
-- rung: alarms to be set. One sorted set says when each type needs a look next: 'd:<type>' its first delayed task, 'l:<type>'
-- its first lease. An alarm may ring early (its task went away) and is then set anew; it never rings late.
-- Marks are only left where somebody may be waiting: every waiting agent was refused, and said so, in the last half minute.
local marked, rung = {}, nil
local waited = tonumber(state.waited)
if waited and waited > now then waited = now end
local awaited = waited and now - waited < 60000

local function mark(type)
  marked[type] = true
end

local function alarm(kind, type, at)
  local name = kind .. ':' .. type
  if not rung then rung = {[name] = at}
  elseif not rung[name] or (rung[name] ~= at and tonumber(at) < tonumber(rung[name])) then rung[name] = at end
end
