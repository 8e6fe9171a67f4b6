-- rank(task): its place in claim order, as a word, lowest first: priority, then age (design rule 2).
local function first_rank(priority)
  return (10 - priority) * 562949953421312
end

local function rank_at(priority, sequence)
  return string.format('%d', first_rank(priority) + sequence)
end

local function rank(task)
  whole(task)
  return rank_at(task[PRIORITY], task[SEQUENCE])
end
