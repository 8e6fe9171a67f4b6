-- next_jobs(stored), cut_slice(job), read_slices(jobs, count), work_on(job, budget), put_back(…), drop_sets(), settle_waits(),
-- write_down(): up to a hundred dependents of each of many jobs.
-- @include lib/cancel_task.lua
-- @include lib/side_write.lua
-- @include lib/rank.lua
-- @include lib/side.lua
-- @include lib/fetch_near.lua
-- @include lib/revive.lua
-- @include lib/decide.lua
-- @include lib/to_do.lua
-- write_down(): leave to later calls what this one has found, in its order: jobs of one moment would go by their names.
local written_down = 0

local function write_down()
  for _, job in ipairs(to_do) do
    written_down = written_down + 1
    zadd(todo, string.format('%.3f', now + written_down / 1000), job.text or job.kind .. ' ' .. job.parent)
  end
  to_do = {}
end

-- read_jobs(): the oldest of what calls before this one left over.
local function read_jobs()
  local jobs = redis.call('ZRANGE', todo, 0, 49)
  for i, text in ipairs(jobs) do
    local kind, name, parent = string.match(text, '^(%S+) (%S+) ?(%S*)$')
    if parent == '' then parent = name end
    jobs[i] = {text = text, kind = kind, parent = parent, key = prefix .. 'dependents:' .. name}
  end
  return jobs
end

-- next_jobs(stored): those that come next, in order.
local function next_jobs(stored)
  if stored then
    write_down()
    commit()
    return read_jobs()
  end
  local jobs = to_do
  to_do = {}
  return jobs
end

-- put_back(left_over, jobs, count): what is left over of the first so many jobs, and those after them, go on before what was
-- found meanwhile.
local function put_back(left_over, jobs, count)
  for i = count + 1, #jobs do left_over[#left_over + 1] = jobs[i] end
  for _, job in ipairs(to_do) do left_over[#left_over + 1] = job end
  to_do = left_over
end

-- place_of(task): its priority, its sequence and from when on it may be claimed. To take a whole task apart for these, of
-- which it will not change one, took as long as all else that a release does.
local PLACE = '^(%S*) (%S*) %S* %S* %S* %S* (%S*)'

local function place_of(task)
  if task[NONCE] then return task[PRIORITY], task[SEQUENCE], task[AVAILABLE] end
  return string.match(task[REST], PLACE)
end

-- unblock(id, task): nothing is left to wait for.
local function unblock(id, task)
  drop(id, task, 'W')
  if task[STATE] ~= 'blocked' then return end
  local priority, sequence, available = place_of(task)
  if available ~= '' and tonumber(available) > now then
    transition(id, task, 'delayed', available)
  else
    transition(id, task, 'ready', rank_at(priority, sequence))
  end
end

-- shortened: the tasks that wait for less than before, id -> task. Their names are written once, by settle_waits(): one that
-- waits for a thousand others, of which twenty end in a call, was written twenty times.
local shortened = {}

local function settle_waits()
  local names = read_side('W')
  for id, task in pairs(shortened) do
    if names[id] then
      hset(waiting, id, names[id])
      touch(id, task)
    end
  end
  if next(shortened) then shortened = {} end
end

-- names_of(id): what it waits for, or nil. Read with those of others by read_slices, save when those were too many.
local function names_of(id)
  local names = read_side('W')[id]
  if names == nil then names = side(id, 'W') end
  return names or nil
end

-- release_from(id, task, parent, names, first, last): take the name that stands there out of waitingOn. A name, not a counter:
-- done twice it changes nothing.
local function release_from(id, task, parent, names, first, last)
  names = string.sub(names, 1, first) .. string.sub(names, last + 1)
  task[BYTES] = task[BYTES] - (last - first)
  read_side('W')[id] = names
  if names == ' ' then unblock(id, task) else shortened[id] = task end
  tell('dependency-met ' .. id .. ' ' .. task[TYPE] .. ' - - ' .. parent)
end

-- is_entered(task, sequence): is it still the task that was entered there, and not another one of its id?
local function is_entered(task, sequence)
  if not task then return false end
  return (task[NONCE] and task[SEQUENCE] or string.match(task[REST], '^%S* (%S*)')) == sequence
end

-- release_rest(id, canary, link): a dead letter that waited for its canary to complete is retried, unless an equal one lives.
local function release_rest(id, canary, link)
  local by, why = string.match(link, '^[^\n]*\n([^\n]*)\n(.*)$')
  hdel(canaries, id)
  if equal_of(id, known[id]) then return end
  decide('retry', id, known[id], by, why, 'its canary ' .. canary .. ' was completed')
  revive(id, known[id], now)
end

-- links_of(slice, parent): of the dead letters in it, those that wait for this canary; nil when none is dead.
local function links_of(slice, parent)
  local dead_ids
  for at = 1, #slice, 2 do
    local id = slice[at]
    if known[id] and known[id][STATE] == 'dead' then
      dead_ids = dead_ids or {}
      dead_ids[#dead_ids + 1] = id
    end
  end
  if not dead_ids then return nil end
  local links = {}
  for i, link in ipairs(redis.call('HMGET', canaries, unpack(dead_ids))) do
    if link and string.match(link, '^[^\n]*') == parent then links[dead_ids[i]] = link end
  end
  return links
end

-- cut_slice(job): its first dependents, as they were entered. Gives back how many that is.
local function cut_slice(job)
  job.slice = job.found or redis.call('ZRANGE', job.key, '0', WORK_AT_ONCE - 1, 'WITHSCORES')
  job.found = nil
  return #job.slice / 2
end

-- read_slices(jobs, count): what will be needed of the tasks of the first so many, in two calls for all; names of about a MiB,
-- the rest when its turn comes: a task may wait for a thousand ids of 128 bytes.
local function read_slices(jobs, count)
  local ids = {}
  for i = 1, count do
    local slice = jobs[i].slice
    for at = 1, #slice, 2 do ids[#ids + 1] = slice[at] end
  end
  load(ids)
  fetch_near('W', ids)
end

-- emptied_sets: keys of dependents that nothing is left of. They go at once, since a call for each took longer.
local emptied_sets = {}

local function drop_sets()
  if emptied_sets[1] then redis.call('DEL', unpack(emptied_sets)) end
  emptied_sets = {}
end

-- work_on(job, budget): what its slice cost, and whether it is done. It stops where the budget ends, which may be within the
-- slice: a hundred tasks that each wait for a thousand ids of 128 bytes are 13 MB, and took 50 ms.
local function work_on(job, budget)
  local kind, parent, slice, cost = job.kind, job.parent, job.slice, 1
  local links, sought = links_of(slice, parent), ' ' .. parent .. ' '
  for at = 1, #slice, 2 do
    if cost > budget then
      for before = 1, at - 2, 2 do zrem(job.key, slice[before]) end
      return cost, false
    end
    local id = slice[at]
    local task = known[id]
    local names = is_entered(task, slice[at + 1]) and names_of(id)
    local first, last
    if names then first, last = string.find(names, sought, 1, true) end
    if first then
      cost = cost + 1
      if #names >= 1024 then cost = cost + math.floor(#names / 1024) end
      local place = task[STATE]
      -- An imported task may have ended while it waited: a job that fails would fail every later call, too.
      if kind == 'release' or place == 'completed' or place == 'dead' or place == 'cancelled' then
        release_from(id, task, parent, names, first, last)
      else
        cancel_task(id, task, 'Parent ' .. parent .. ' cancelled')
        cancelled_here = cancelled_here + 1
        if of_cascade[parent] then
          of_cascade[id] = true
          carried[#carried + 1] = id
        end
      end
    end
    if links and links[id] then
      -- With its error to read and a decision to keep, as much as several others.
      cost = cost + 5
      if kind == 'release' then release_rest(id, parent, links[id]) else hdel(canaries, id) end
    end
  end
  local done = #slice < 2 * WORK_AT_ONCE
  if done and not links then
    emptied_sets[#emptied_sets + 1] = job.key
  else
    for at = 1, #slice, 2 do zrem(job.key, slice[at]) end
  end
  -- One that is blocked now may be released by the next job: gathered with this one it would stay in both indexes.
  if links then commit() end
  return cost, done
end

-- mark_rest(): wake somebody of the type that comes next, so that the rest doesn't wait for a chance caller.
local function mark_rest()
  local job = redis.call('ZRANGE', todo, 0, 0)[1]
  local name = string.match(job, '^%S+ (%S+)')
  local id = redis.call('ZRANGE', prefix .. 'dependents:' .. name, 0, 0)[1]
  if not id then return end
  load_one(id)
  if known[id] then mark(known[id][TYPE]) end
end
