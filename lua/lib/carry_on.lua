-- The to-do list (design rule 16): releasing or cancelling through the dependents of a task is done in slices. An entry
-- 'release <id>' or 'cancel <id>' works along the sorted set dependents:<id>, 'discard <n> <id>' along dependents:<n>, the
-- set of a task that is gone already and whose id may be in use again. Whoever calls next carries the list on.
local WORK_PER_CALL = 500
local carried = {}

-- carry_on(): up to a bounded amount of the list; true when nothing is left. carried gets the ids that it cancelled.
local function carry_on()
  if not additions[todo] and redis.call('EXISTS', todo) == 0 then return true end
  commit()
  -- @include lib/work_on.lua
  local budget = WORK_PER_CALL
  repeat
    local jobs = redis.call('ZRANGE', todo, 0, 49)
    if #jobs == 0 then return true end
    for _, job in ipairs(jobs) do
      if budget <= 0 then break end
      local cost, done = work_on(job)
      budget = budget - cost
      if done then zrem(todo, job) end
    end
    commit()
  until budget <= 0
  if redis.call('EXISTS', todo) == 0 then return true end
  mark_rest()
  return false
end
