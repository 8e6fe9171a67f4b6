-- transition(id, task, to, score): the only place that sets a task's state and moves it between indexes.
-- Pending is three states here, ready, delayed and blocked, so that every task is in exactly one index. Ready, delayed,
-- blocked and leased have an index per type, the others one for the whole queue.
-- names(): the names that belong to this queue's types. To put one together anew for each task took longer than to look it up:
-- in a function library they stay between calls; when there are too many they are begun anew.
local NAMES = {of = {}, count = 0}
local MOST_NAMES_KEPT = 10000

-- own_names: those of the queue that this call is about.
local own_names

local function name_of(kind, start, type)
  local names = own_names
  if not names then
    names = NAMES.of[prefix]
    if not names or NAMES.count > MOST_NAMES_KEPT then
      if NAMES.count > MOST_NAMES_KEPT then NAMES.of, NAMES.count = {}, 0 end
      names = {}
      NAMES.of[prefix] = names
    end
    own_names = names
  end
  local of_kind = names[kind]
  if not of_kind then
    of_kind = {}
    names[kind] = of_kind
  end
  local name = of_kind[type]
  if not name then
    name = start .. kind .. ':' .. type
    of_kind[type], NAMES.count = name, NAMES.count + 1
  end
  return name
end

-- index_key(place, type): the key of an index per type.
local function index_key(place, type)
  return name_of(place, prefix, type)
end

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
    add(tally, name_of(from, '', type), -1)
    -- Those that are stored are counted by their index: that spares each completion a call (lib/total_completed.lua).
    if from == 'completed' then add(tally, 'total:completed', 1) end
  elseif from ~= 'new' then
    zrem(index_key(from, type), id)
  end
  task[STATE] = to
  if to == 'removed' then return end
  changed[id] = task
  if to == 'completed' or to == 'dead' or to == 'cancelled' then
    zadd(prefix .. to, score, id)
    add(tally, name_of(to, '', type), 1)
    return
  end
  zadd(index_key(to, type), score, id)
  if to == 'ready' then marked[type] = true
  elseif to == 'delayed' then ring_due(type, score)
  elseif to == 'leased' then ring_lease(type, score) end
end

-- first_state(form, waits): where a new task of enqueue begins. arrive(id, form, sequence, to): it has no small fields yet, and
-- takes its place there.
local function first_state(form, waits)
  if waits then return 'blocked' end
  return form.available > now and 'delayed' or 'ready'
end

local function arrive(id, form, sequence, to)
  local type = form.type
  if to == 'delayed' then
    zadd(index_key(to, type), form.due, id)
    ring_due(type, form.due)
    return
  end
  zadd(index_key(to, type), string.format('%d', form.rank + sequence), id)
  if to == 'ready' then marked[type] = true end
end

-- public(task): the documented state of a task (design section 3).
local function public(task)
  local place = task[STATE]
  if place == 'leased' then return 'in-progress' end
  if place == 'dead' then return 'dead-letter' end
  if place == 'completed' or place == 'cancelled' then return place end
  return 'pending'
end
