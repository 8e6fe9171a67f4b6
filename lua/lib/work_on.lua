-- slice_of(job), read_slices(slices), work_on(slice), settle_waits(): up to a hundred dependents of each of many to-dos.
-- @include lib/cancel_task.lua
-- @include lib/side_write.lua
-- @include lib/rank.lua
-- @include lib/side.lua
-- @include lib/revive.lua
-- @include lib/decide.lua
local WORK_AT_ONCE = 100

-- unblock(id, task): nothing is left to wait for.
local function unblock(id, task)
  drop(id, task, 'W')
  if task[STATE] ~= 'blocked' then return end
  whole(task)
  if task[AVAILABLE] ~= '' and tonumber(task[AVAILABLE]) > now then
    transition(id, task, 'delayed', task[AVAILABLE])
  else
    transition(id, task, 'ready', rank(task))
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
  whole(task)
  return task[SEQUENCE] == sequence
end

-- release_rest(id, canary, link): a dead letter that waited for its canary to complete is retried, unless an equal one lives.
local function release_rest(id, canary, link)
  local by, why = string.match(link, '^[^\n]*\n([^\n]*)\n(.*)$')
  hdel(canaries, id)
  if equal_of(id, known[id]) then return end
  decide('retry', id, known[id], by, why, 'its canary ' .. canary .. ' was completed')
  revive(id, known[id], now)
end

-- links_of(ids, parent): of the dead letters among them, those that wait for this canary.
local function links_of(ids, parent)
  local dead_ids, links = {}, {}
  for _, id in ipairs(ids) do
    if known[id] and known[id][STATE] == 'dead' then dead_ids[#dead_ids + 1] = id end
  end
  if #dead_ids == 0 then return links end
  for i, link in ipairs(redis.call('HMGET', canaries, unpack(dead_ids))) do
    if link and string.match(link, '^[^\n]*') == parent then links[dead_ids[i]] = link end
  end
  return links
end

-- slice_of(job): its first dependents, as they were entered.
local function slice_of(job)
  local kind, name, parent = string.match(job, '^(%S+) (%S+) ?(%S*)$')
  if parent == '' then parent = name end
  local key, ids, sequences = prefix .. 'dependents:' .. name, {}, {}
  local found = redis.call('ZRANGE', key, '0', WORK_AT_ONCE - 1, 'WITHSCORES')
  for i = 1, #found, 2 do
    local at = (i + 1) / 2
    ids[at], sequences[at] = found[i], found[i + 1]
  end
  return {job = job, kind = kind, parent = parent, key = key, ids = ids, sequences = sequences}
end

-- read_slices(slices): what will be needed of their tasks, in two calls for all; names of about a MiB, the rest when its turn
-- comes: a task may wait for a thousand ids of 128 bytes.
local function read_slices(slices)
  local NAMES_AT_ONCE = 1048576
  local ids, near, bytes = {}, {}, 0
  for _, slice in ipairs(slices) do
    for _, id in ipairs(slice.ids) do ids[#ids + 1] = id end
  end
  load(ids)
  for _, id in ipairs(ids) do
    if known[id] and bytes < NAMES_AT_ONCE then
      near[#near + 1] = id
      bytes = bytes + known[id][BYTES]
    end
  end
  fetch('W', near)
end

-- work_on(slice, budget): what it cost, and whether its job is done. It stops where the budget ends, which may be within the
-- slice: a hundred tasks that each wait for a thousand ids of 128 bytes are 13 MB, and took 50 ms.
local function work_on(slice, budget)
  local kind, parent, ids, cost = slice.kind, slice.parent, slice.ids, 1
  local links, sought = links_of(ids, parent), ' ' .. parent .. ' '
  for i, id in ipairs(ids) do
    if cost > budget then return cost, false end
    local task = known[id]
    local names = is_entered(task, slice.sequences[i]) and names_of(id)
    local first, last
    if names then first, last = string.find(names, sought, 1, true) end
    if first then
      cost = cost + 1 + math.floor(#names / 1024)
      local place = task[STATE]
      -- An imported task may have ended while it waited: a job that fails would fail every later call, too.
      if kind == 'release' or place == 'completed' or place == 'dead' or place == 'cancelled' then
        release_from(id, task, parent, names, first, last)
      else
        cancel_task(id, task, 'Parent ' .. parent .. ' cancelled')
        carried[#carried + 1] = id
      end
    end
    if links[id] then
      -- With its error to read and a decision to keep, as much as several others.
      cost = cost + 5
      if kind == 'release' then release_rest(id, parent, links[id]) else hdel(canaries, id) end
    end
    zrem(slice.key, id)
  end
  -- One that is blocked now may be released by the next job: gathered with this one it would stay in both indexes.
  if next(links) then commit() end
  return cost, #ids < WORK_AT_ONCE
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
