-- What a script changes is gathered here and written by commit(), a few variadic calls for a whole batch:
-- calls cost more than data, and until the first commit every check can still refuse without a trace.
-- Each list is made with its first words in it: growing a new table step by step took a fifth of a claim's time. It knows
-- its length, n: Lua would look for the end of a long one at every word.
local removals, additions, drops, fields, sums, changed = {}, {}, {}, {}, {}, {}
-- written: id -> the text of its small fields, when this script has written them.
local written = {}
-- direct: a script that changes one task says so once nothing can refuse any more: then to gather costs more than it saves.
local direct = false

local function zrem(key, member)
  if direct then return redis.call('ZREM', key, member) end
  local words = removals[key]
  if not words then
    removals[key] = {member, n = 1}
    return
  end
  words.n = words.n + 1
  words[words.n] = member
end

local function zadd(key, score, member)
  if direct then return redis.call('ZADD', key, score, member) end
  local words = additions[key]
  if not words then
    additions[key] = {score, member, n = 2}
    return
  end
  local count = words.n
  words[count + 1], words[count + 2], words.n = score, member, count + 2
end

-- The last word counts: a field may be set and taken away again in one call. drops says up to where what was set before
-- doesn't count any more.
local function hdel(key, field)
  if direct then return redis.call('HDEL', key, field) end
  local gone = drops[key]
  if not gone then
    gone = {}
    drops[key] = gone
  end
  gone[field] = fields[key] and #fields[key] or 0
end

local function hset(key, field, value)
  if direct then return redis.call('HSET', key, field, value) end
  local words = fields[key]
  if not words then
    fields[key] = {field, value, n = 2}
    return
  end
  local count = words.n
  words[count + 1], words[count + 2], words.n = field, value, count + 2
end

-- increase(key, field, amount): a sum that falls to 0 goes away: a type that nobody uses any more must not stay for ever.
local function increase(key, field, amount)
  if amount ~= 0 and redis.call('HINCRBY', key, field, amount == 1 and '1' or amount) <= 0 then redis.call('HDEL', key, field) end
end

local function add(key, field, amount)
  if direct then return increase(key, field, amount) end
  local totals = sums[key]
  if not totals then
    totals = {}
    sums[key] = totals
  end
  totals[field] = (totals[field] or 0) + amount
end

-- touch(id, task): write the task's small fields at the next commit.
local function touch(id, task)
  changed[id] = task
end

-- Redis Lua's stack takes no more than about 8,000 values in one unpack.
local function call_in_parts(command, lists)
  for key, words in pairs(lists) do
    local count = #words
    if count > 4000 then
      for first = 1, count, 4000 do redis.call(command, key, unpack(words, first, math.min(first + 3999, count))) end
    -- A field that was set and taken away again may have been the only one.
    elseif count > 0 then
      redis.call(command, key, unpack(words))
    end
  end
end

local function drop_fields()
  for key, gone in pairs(drops) do
    local words, kept, names = fields[key], {}, {}
    for field in pairs(gone) do names[#names + 1] = field end
    for at = 1, words and #words or 0, 2 do
      local last = gone[words[at]]
      if not last or at > last then kept[#kept + 1], kept[#kept + 2] = words[at], words[at + 1] end
    end
    fields[key], drops[key] = kept, names
  end
  call_in_parts('HDEL', drops)
end

-- write_tasks(): put the small fields of what has changed among what is to be written.
local function write_tasks()
  if next(changed) == nil then return end
  local words = fields[tasks]
  local count = words and words.n
  for id, task in pairs(changed) do
    local text = text_of_task(task)
    written[id] = text
    if direct then redis.call('HSET', tasks, id, text)
    elseif words then words[count + 1], words[count + 2], count = id, text, count + 2
    else words, count = {id, text, n = 2}, 2 end
  end
  if words then words.n, fields[tasks] = count, words end
  changed = {}
end

-- commit(): removals come first, since Redis 6.2 refuses a script whose first write needs memory when memory is full.
local function commit()
  write_tasks()
  if not state.schema and (next(fields) or next(written)) then
    state.schema = SCHEMA
    redis.call('HSET', queue, 'schema', SCHEMA)
  end
  if not (next(removals) or next(drops) or next(additions) or next(fields) or next(sums)) then return end
  call_in_parts('ZREM', removals)
  if next(drops) then drop_fields() end
  call_in_parts('ZADD', additions)
  call_in_parts('HSET', fields)
  for key, totals in pairs(sums) do
    for field, amount in pairs(totals) do increase(key, field, amount) end
  end
  removals, additions, drops, fields, sums = {}, {}, {}, {}, {}
end
