-- carry_on: the to-do list (design rule 16). Releasing or cancelling through the dependents of a task is done in slices. A
-- job 'release <id>' or 'cancel <id>' works along the sorted set dependents:<id>, 'discard <n> <id>' along dependents:<n>,
-- the set of a task that is gone already and whose id may be in use again. What this call has found it does itself (to_do),
-- after what others left over; what it does not get to is written down, and whoever calls next carries it on.
-- Sets all_done; carried: the ids of its own cascade (of_cascade) that this call cancelled on the way; and cancelled_here: how
-- many it cancelled, others' with them.
-- @include lib/to_do.lua
local all_done, carried, cancelled_here = true, nil, 0
-- Nearly always nobody left anything: then nothing is written down, for that was a fifth of what a small graph cost.
local stored = rare and redis.call('EXISTS', todo) == 1
if stored or to_do[1] then
  local WORK_PER_CALL, LEAST_WORK = 500, 50
  carried, direct = {}, false
  commit()
  -- @include lib/work_on.lua
  -- A call that has ended a thousand tasks itself has not much time left.
  local budget = math.max(WORK_PER_CALL - line_count, LEAST_WORK)
  repeat
    local jobs = next_jobs(stored)
    if #jobs == 0 then break end
    local count, ahead, cascades = 0, 0, false
    while count < #jobs and ahead < budget and not cascades do
      count = count + 1
      local size = cut_slice(jobs[count])
      ahead = ahead + 1 + size
      -- A parent that was reached later must not cancel what the rest of this slice's parent has yet to reach (rule 13).
      cascades = jobs[count].kind ~= 'release' and size == WORK_AT_ONCE
    end
    read_slices(jobs, count)
    local left_over = {}
    for i = 1, count do
      local done = false
      if budget > 0 then
        local cost
        cost, done = work_on(jobs[i], budget)
        budget = budget - cost
      end
      if not done then left_over[#left_over + 1] = jobs[i]
      elseif stored then zrem(todo, jobs[i].text) end
    end
    if not stored then put_back(left_over, jobs, count) end
    settle_waits()
    drop_sets()
    commit()
  until budget <= 0
  if to_do[1] then
    write_down()
    commit()
    stored = true
  end
  all_done = not stored or redis.call('EXISTS', todo) == 0
  if not all_done then mark_rest() end
end
