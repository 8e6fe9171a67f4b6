-- Wake-up marks (design rule 7): mark(type) notes that work was left for somebody; leave_marks() writes one mark
-- per type, whatever the number of tasks. A waiting agent pops it, claims, and passes it on if work is left.
local marked = {}

local function mark(type)
  marked[type] = true
end

local function leave_marks()
  for type in pairs(marked) do redis.call('ZADD', prefix .. 'wake:' .. type, 0, '1') end
  marked = {}
end
