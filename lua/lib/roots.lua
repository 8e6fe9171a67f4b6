-- roots(id): the tasks that a blocked one waits for in the end: those along its dependencies that wait for nobody. Returns
-- their ids (the first few, those nearest first), how many were found, and whether all were looked at.
-- tell_roots(ids): a row for each, without what may be long: a hundred documents of a MiB were a reply of 100 MB.
-- @include lib/fetch_slice.lua
-- @include lib/leases_of.lua
local MOST_WALKED, MOST_ROOTS = 2000, 100
-- Two calls per step: 2,000 steps and a claim that is tried took 49 ms on a slow machine.
local MOST_STEPS = 1000
-- Of what they wait for: 500 tasks that wait for the same 1,000 are two thousand tasks and half a million names.
local MOST_NAMES, MOST_READ, WAITS = 30000, 1048576, {'W'}

local function roots(id)
  local found, met, level, walked, total, complete = {}, {[id] = true}, {id}, 0, 0, true
  local followed, names, bytes, steps = {}, 0, 0, 0
  while #level > 0 do
    if steps > MOST_STEPS then return found, total, false end
    steps = steps + 1
    load(level)
    local following, read = {}, 0
    for i, name in ipairs(level) do
      local task = known[name]
      local blocked = task and task[STATE] == 'blocked'
      -- What was met is still looked at when no more is read: among it may be all that can be told.
      if blocked and i > read and names < MOST_NAMES and bytes < MOST_READ then read = fetch_slice(WAITS, level, i) end
      local waits_for = blocked and read_side('W')[name]
      if blocked and i > read then
        complete = false
      elseif waits_for then
        bytes = bytes + #waits_for
        -- Tasks that wait for the same ones hold the same text, which leads nowhere new.
        if not followed[waits_for] then
          followed[waits_for] = true
          for other in string.gmatch(waits_for, '%S+') do
            names = names + 1
            if not met[other] then
              if walked == MOST_WALKED then return found, total, false end
              met[other], walked = true, walked + 1
              following[#following + 1] = other
            end
          end
        end
      elseif name ~= id then
        total = total + 1
        if #found < MOST_ROOTS then found[#found + 1] = name end
      end
    end
    level = following
  end
  return found, total, complete
end

local function tell_roots(ids)
  local deadlines, rows = leases_of(ids), {}
  local last_errors, whys, notes = fetch('E', ids), fetch('N', ids), fetch('S', ids)
  for _, id in ipairs(ids) do
    local task = known[id]
    if task then
      whole(task)
      rows[#rows + 1] = {
        id, task[TYPE], task[STATE], task[AGENT], deadlines[id] or '', task[AVAILABLE], task[ENDED], last_errors[id] or false,
        whys[id] or false, string.match(notes[id] or '', '^%d*'),
      }
    end
  end
  return rows
end
