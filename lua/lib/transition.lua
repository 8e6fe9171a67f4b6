-- transition(id, task, to, score): the only place that sets a task's state and moves it between indexes.
-- Pending is three states here, ready, delayed and blocked, so that every task is in exactly one index.
local PENDING, index_of, public, transition
do
  local NEXT = {
    new = {ready = 1, delayed = 1, blocked = 1, leased = 1, completed = 1, dead = 1, cancelled = 1},
    ready = {leased = 1, cancelled = 1},
    delayed = {ready = 1, cancelled = 1},
    blocked = {ready = 1, delayed = 1, cancelled = 1},
    leased = {completed = 1, ready = 1, delayed = 1, blocked = 1, dead = 1, cancelled = 1},
    dead = {ready = 1, delayed = 1, blocked = 1, completed = 1, removed = 1},
    completed = {removed = 1},
    cancelled = {removed = 1},
  }
  local PER_TYPE = {ready = true, delayed = true, blocked = true, leased = true}
  PENDING = {ready = true, delayed = true, blocked = true}

  function index_of(place, type)
    if PER_TYPE[place] then return prefix .. place .. ':' .. type end
    return prefix .. place
  end

  -- public(task): the documented state of a task (design section 3).
  function public(task)
    local place = task[STATE]
    if PENDING[place] then return 'pending' end
    if place == 'leased' then return 'in-progress' end
    if place == 'dead' then return 'dead-letter' end
    return place
  end

  function transition(id, task, to, score)
    local from, type = task[STATE], task[TYPE]
    if not NEXT[from][to] then error('illegal transition of ' .. id .. ' from ' .. from .. ' to ' .. to) end
    if from ~= 'new' then
      zrem(index_of(from, type), id)
      if not PER_TYPE[from] then add(tally, from .. ':' .. type, -1) end
    end
    task[STATE] = to
    if to == 'removed' then return end
    touch(id, task)
    zadd(index_of(to, type), score, id)
    if to == 'ready' then mark(type)
    elseif to == 'delayed' then alarm('d', type, score)
    elseif to == 'leased' then alarm('l', type, score)
    elseif not PER_TYPE[to] then add(tally, to .. ':' .. type, 1) end
  end
end
