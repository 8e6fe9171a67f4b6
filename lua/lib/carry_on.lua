-- carry_on: the to-do list (design rule 16). Releasing or cancelling through the dependents of a task is done in slices. An
-- entry 'release <id>' or 'cancel <id>' works along the sorted set dependents:<id>, 'discard <n> <id>' along dependents:<n>,
-- the set of a task that is gone already and whose id may be in use again. Whoever calls next carries the list on.
-- Sets all_done, and carried: the ids that this call cancelled on the way.
local all_done, carried = true, nil
if additions[todo] or (rare and redis.call('EXISTS', todo) == 1) then
  local WORK_PER_CALL, LEAST_WORK = 500, 50
  carried = {}
  commit()
  -- @include lib/work_on.lua
  -- A call that has ended a thousand tasks itself has not much time left.
  local budget = math.max(WORK_PER_CALL - line_count, LEAST_WORK)
  repeat
    local jobs = redis.call('ZRANGE', todo, 0, 49)
    if #jobs == 0 then break end
    local slices, ahead = {}, 0
    for _, job in ipairs(jobs) do
      if ahead >= budget then break end
      local slice = slice_of(job)
      slices[#slices + 1] = slice
      ahead = ahead + 1 + #slice.ids
    end
    read_slices(slices)
    for _, slice in ipairs(slices) do
      if budget <= 0 then break end
      local cost, done = work_on(slice, budget)
      budget = budget - cost
      if done then zrem(todo, slice.job) end
    end
    settle_waits()
    commit()
  until budget <= 0
  all_done = redis.call('EXISTS', todo) == 0
  if not all_done then mark_rest() end
end
