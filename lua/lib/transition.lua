-- transition(id, task, to, score): the only place that sets a task's state and moves it between indexes.
-- Pending is three states here, ready, delayed and blocked, so that every task is in exactly one index.
local function allowed(from)
  if from == 'ready' then return 'leased cancelled' end
  if from == 'delayed' then return 'ready cancelled' end
  if from == 'blocked' then return 'ready delayed cancelled' end
  if from == 'leased' then return 'completed ready delayed blocked dead cancelled' end
  if from == 'dead' then return 'ready delayed blocked completed removed' end
  if from == 'completed' or from == 'cancelled' then return 'removed' end
  if from == 'new' then return 'ready delayed blocked leased completed dead cancelled' end
end

-- ended(place): is that index one for the whole queue? The others are one per type.
local function ended(place)
  return place == 'completed' or place == 'dead' or place == 'cancelled'
end

local function is_pending(task)
  local place = task[STATE]
  return place == 'ready' or place == 'delayed' or place == 'blocked'
end

-- public(task): the documented state of a task (design section 3).
local function public(task)
  local place = task[STATE]
  if place == 'leased' then return 'in-progress' end
  if place == 'dead' then return 'dead-letter' end
  if ended(place) then return place end
  return 'pending'
end

local function transition(id, task, to, score)
  local from, type = task[STATE], task[TYPE]
  if not string.find(allowed(from), to, 1, true) then error('illegal transition of ' .. id .. ' from ' .. from .. ' to ' .. to) end
  if ended(from) then
    zrem(prefix .. from, id)
    add(tally, from .. ':' .. type, -1)
  elseif from ~= 'new' then
    zrem(prefix .. from .. ':' .. type, id)
  end
  task[STATE] = to
  if to == 'removed' then return end
  changed[id] = task
  if ended(to) then
    zadd(prefix .. to, score, id)
    add(tally, to .. ':' .. type, 1)
    return
  end
  zadd(prefix .. to .. ':' .. type, score, id)
  if to == 'ready' then mark(type)
  elseif to == 'delayed' then alarm('d', type, score)
  elseif to == 'leased' then alarm('l', type, score) end
end
