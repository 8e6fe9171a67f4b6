-- Side tables hold what only some tasks have. A letter in FLAGS says that a task has an entry, so that reading and
-- removing touch just the tables that matter. One more letter, I: its result is incomplete.
local entries = {}

local function side_key(letter)
  if letter == 'A' then return attempts end
  if letter == 'R' then return results end
  if letter == 'D' then return dependencies end
  if letter == 'W' then return waiting end
  if letter == 'E' then return errors end
  if letter == 'C' then return checkpoints end
  if letter == 'G' then return progress end
  if letter == 'N' then return reasons end
  if letter == 'S' then return escalations end
end

-- read_side(letter): id -> entry, or false when there is none, of those that this script has read.
local function read_side(letter)
  local read = entries[letter]
  if not read then
    read = {}
    entries[letter] = read
  end
  return read
end

local function has(task, letter)
  local flags = task[FLAGS]
  return flags == letter or (flags ~= '' and string.find(flags, letter, 1, true) ~= nil)
end

-- fetch(letter, ids): read this side of the tasks in one call.
local function fetch(letter, ids)
  local read, missing = read_side(letter), {}
  for _, id in ipairs(ids) do
    local task = known[id]
    if task and read[id] == nil and has(task, letter) then
      read[id] = false
      missing[#missing + 1] = id
    end
  end
  if #missing == 0 then return read end
  for i, value in ipairs(redis.call('HMGET', side_key(letter), unpack(missing))) do read[missing[i]] = value end
  return read
end

local function side(id, letter)
  return fetch(letter, {id})[id]
end
