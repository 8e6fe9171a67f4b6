-- Changing the side tables (lib/side.lua).
-- @include lib/side.lua
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

-- keep(id, task, letter, value): store or replace the entry.
local function keep(id, task, letter, value)
  local read, before = read_side(letter), 0
  if has(task, letter) then
    before = read[id] and #read[id] or redis.call('HSTRLEN', side_key(letter), id)
  end
  task[BYTES] = task[BYTES] + #value - before
  read[id] = value
  hset(side_key(letter), id, value)
  raise(id, task, letter)
  touch(id, task)
end

local function drop(id, task, letter)
  if not has(task, letter) then return end
  local read = read_side(letter)
  task[BYTES] = task[BYTES] - (read[id] and #read[id] or redis.call('HSTRLEN', side_key(letter), id))
  read[id] = false
  hdel(side_key(letter), id)
  lower(id, task, letter)
end
