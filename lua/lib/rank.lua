-- rank(task): its place in claim order, lowest first: priority, then age (design rule 2).
local function rank(task)
  return (10 - task[PRIORITY]) * 562949953421312 + task[SEQUENCE]
end
