-- rank(task): its place in claim order, as a word, lowest first: priority, then age (design rule 2).
local function rank(task)
  whole(task)
  return string.format('%d', (10 - task[PRIORITY]) * 562949953421312 + task[SEQUENCE])
end
