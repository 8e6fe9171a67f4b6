-- rank(task): its place in claim order, as a word, lowest first: priority, then age (design rule 2).
local function first_rank(priority)
  return (10 - priority) * 562949953421312
end

local function rank(task)
  whole(task)
  return string.format('%d', first_rank(task[PRIORITY]) + task[SEQUENCE])
end
