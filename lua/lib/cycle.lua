-- cycle(count, edges): the first place that is in a cycle or waits for one, nil when there is none.
-- edges[i] lists the places that i waits for, if any. Kahn's algorithm: what never gets free is in a cycle.
local NOBODY = {}

local function cycle(count, edges)
  local waits, behind, free = {}, {}, {}
  for i = 1, count do waits[i] = 0 end
  for i, ahead in pairs(edges) do
    waits[i] = #ahead
    for _, j in ipairs(ahead) do
      behind[j] = behind[j] or {}
      behind[j][#behind[j] + 1] = i
    end
  end
  for i = 1, count do
    if waits[i] == 0 then free[#free + 1] = i end
  end
  local at = 1
  while free[at] do
    for _, i in ipairs(behind[free[at]] or NOBODY) do
      waits[i] = waits[i] - 1
      if waits[i] == 0 then free[#free + 1] = i end
    end
    at = at + 1
  end
  if #free == count then return nil end
  for i = 1, count do
    if waits[i] > 0 then return i end
  end
end
