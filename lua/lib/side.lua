-- Side tables hold what only some tasks have. A letter in FLAGS says that a task has an entry, so that reading and
-- removing touch just the tables that matter. Two more letters: P, other tasks depend on this one; I, its result is incomplete.
local SIDES = {
  D = dependencies, W = waiting, A = attempts, E = errors, R = results,
  C = checkpoints, G = progress, N = reasons, S = escalations,
}
local entries = {D = {}, W = {}, A = {}, E = {}, R = {}, C = {}, G = {}, N = {}, S = {}}

local function has(task, letter)
  return string.find(task[FLAGS], letter, 1, true) ~= nil
end

local function raise(id, task, letter)
  if not has(task, letter) then
    task[FLAGS] = task[FLAGS] .. letter
    touch(id, task)
  end
end

local function lower(id, task, letter)
  if has(task, letter) then
    task[FLAGS] = string.gsub(task[FLAGS], letter, '')
    touch(id, task)
  end
end

-- fetch(letter, ids): read this side of the tasks in one call.
local function fetch(letter, ids)
  local read, missing = entries[letter], {}
  for _, id in ipairs(ids) do
    local task = known[id]
    if task and read[id] == nil and has(task, letter) then
      read[id] = false
      missing[#missing + 1] = id
    end
  end
  if #missing == 0 then return read end
  for i, value in ipairs(redis.call('HMGET', SIDES[letter], unpack(missing))) do read[missing[i]] = value end
  return read
end

local function side(id, letter)
  return fetch(letter, {id})[id]
end

-- keep(id, task, letter, value): store or replace the entry.
local function keep(id, task, letter, value)
  local before = 0
  if has(task, letter) then
    before = entries[letter][id] and #entries[letter][id] or redis.call('HSTRLEN', SIDES[letter], id)
  end
  task[BYTES] = task[BYTES] + #value - before
  entries[letter][id] = value
  hset(SIDES[letter], id, value)
  raise(id, task, letter)
  touch(id, task)
end

local function drop(id, task, letter)
  if not has(task, letter) then return end
  task[BYTES] = task[BYTES] - (entries[letter][id] and #entries[letter][id] or redis.call('HSTRLEN', SIDES[letter], id))
  entries[letter][id] = false
  hdel(SIDES[letter], id)
  lower(id, task, letter)
end
