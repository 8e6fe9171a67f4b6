-- mark(type): work was left for somebody (design rule 7). conclude() leaves one wake-up mark per type, whatever the number
-- of tasks. A waiting agent pops it, claims, and passes it on if work is left.
local marked = {}

local function mark(type)
  marked[type] = true
end

-- alarm(kind, type, at): one sorted set says when each type needs a look next: 'd:<type>' its first delayed task,
-- 'l:<type>' its first lease. An alarm may ring early (its task went away) and is then set anew; it never rings late.
local rung

local function alarm(kind, type, at)
  rung = rung or {}
  local name = kind .. ':' .. type
  if not rung[name] or at < rung[name] then rung[name] = at end
end
