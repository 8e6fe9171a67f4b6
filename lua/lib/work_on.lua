-- work_on(job): one slice of a to-do.
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

-- release_from(id, task, parent): take one name out of waitingOn. A name, not a counter: done twice it changes nothing.
local function release_from(id, task, parent)
  local names = read_side('W')[id]
  local first, last = string.find(names, ' ' .. parent .. ' ', 1, true)
  names = string.sub(names, 1, first) .. string.sub(names, last + 1)
  if names == ' ' then unblock(id, task) else keep(id, task, 'W', names) end
  event('dependency-met', id, task[TYPE], '', '', parent)
end

-- waits_for(id, sequence, parent): is it still the task that was entered there, and still waiting?
local function waits_for(id, sequence, parent)
  local task = known[id]
  if task then whole(task) end
  return task and task[SEQUENCE] == sequence and read_side('W')[id]
    and string.find(read_side('W')[id], ' ' .. parent .. ' ', 1, true) ~= nil
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

-- work_on(job): one slice; what it cost, and whether the job is done.
local function work_on(job)
  local kind, name, parent = string.match(job, '^(%S+) (%S+) ?(%S*)$')
  if parent == '' then parent = name end
  local key, ids, sequences, cost = prefix .. 'dependents:' .. name, {}, {}, 1
  local pairs_found = redis.call('ZRANGE', key, 0, WORK_AT_ONCE - 1, 'WITHSCORES')
  for i = 1, #pairs_found, 2 do
    ids[#ids + 1] = pairs_found[i]
    sequences[#sequences + 1] = pairs_found[i + 1]
  end
  load(ids)
  fetch('W', ids)
  local links = links_of(ids, parent)
  for i, id in ipairs(ids) do
    if waits_for(id, sequences[i], parent) then
      cost = cost + 1 + math.floor(#read_side('W')[id] / 1024)
      local place = known[id][STATE]
      -- An imported task may have ended while it waited: a job that fails would fail every later call, too.
      if kind == 'release' or place == 'completed' or place == 'dead' or place == 'cancelled' then
        release_from(id, known[id], parent)
      else
        cancel_task(id, known[id], 'Parent ' .. parent .. ' cancelled')
        carried[#carried + 1] = id
      end
    end
    if links[id] then
      -- With its error to read and a decision to keep, as much as several others.
      cost = cost + 5
      if kind == 'release' then release_rest(id, parent, links[id]) else hdel(canaries, id) end
    end
    zrem(key, id)
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
  load({id})
  if known[id] then mark(known[id][TYPE]) end
end
