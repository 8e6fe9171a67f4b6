-- transition(id, task, to, score): the only place that sets a task's state and moves it between indexes.
-- Pending is three states here, ready, delayed and blocked, so that every task is in exactly one index. Ready, delayed,
-- blocked and leased have an index per type, the others one for the whole queue.
local function transition(id, task, to, score)
  local from, type = task[STATE], task[TYPE]
  local allowed, was_final = '', false
  if from == 'new' then allowed = 'ready delayed blocked leased completed dead cancelled'
  elseif from == 'ready' then allowed = 'leased cancelled'
  elseif from == 'leased' then allowed = 'completed ready delayed blocked dead cancelled'
  elseif from == 'delayed' then allowed = 'ready cancelled'
  elseif from == 'blocked' then allowed = 'ready delayed cancelled'
  elseif from == 'dead' then allowed, was_final = 'ready delayed blocked completed removed', true
  elseif from == 'completed' then allowed, was_final = 'removed', true
  elseif from == 'cancelled' then allowed, was_final = 'removed', true end
  if not string.find(allowed, to, 1, true) then error('illegal transition of ' .. id .. ' from ' .. from .. ' to ' .. to) end
  if was_final then
    zrem(prefix .. from, id)
    add(tally, from .. ':' .. type, -1)
  elseif from ~= 'new' then
    zrem(prefix .. from .. ':' .. type, id)
  end
  task[STATE] = to
  if to == 'removed' then return end
  changed[id] = task
  if to == 'completed' or to == 'dead' or to == 'cancelled' then
    zadd(prefix .. to, score, id)
    add(tally, to .. ':' .. type, 1)
    return
  end
  zadd(prefix .. to .. ':' .. type, score, id)
  if to == 'ready' then marked[type] = true
  elseif to == 'delayed' then alarm('d', type, score)
  elseif to == 'leased' then alarm('l', type, score) end
end

-- public(task): the documented state of a task (design section 3).
local function public(task)
  local place = task[STATE]
  if place == 'leased' then return 'in-progress' end
  if place == 'dead' then return 'dead-letter' end
  if place == 'completed' or place == 'cancelled' then return place end
  return 'pending'
end
