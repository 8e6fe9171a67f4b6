-- roots(id): the tasks that a blocked one waits for in the end: those along its dependencies that wait for nobody. Returns
-- their ids (the first few, those nearest first), how many were found, and whether all were looked at.
-- @include lib/side.lua
local MOST_WALKED, MOST_ROOTS = 2000, 100

local function roots(id)
  local found, met, level, walked, total = {}, {[id] = true}, {id}, 0, 0
  while #level > 0 do
    load(level)
    fetch('W', level)
    local following = {}
    for _, name in ipairs(level) do
      local task = known[name]
      local waits_for = task and task[STATE] == 'blocked' and read_side('W')[name]
      for other in string.gmatch(waits_for or '', '%S+') do
        if not met[other] then
          if walked == MOST_WALKED then return found, total, false end
          met[other], walked = true, walked + 1
          following[#following + 1] = other
        end
      end
      if not waits_for and name ~= id then
        total = total + 1
        if #found < MOST_ROOTS then found[#found + 1] = name end
      end
    end
    level = following
  end
  return found, total, true
end
