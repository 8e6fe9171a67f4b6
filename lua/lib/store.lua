-- What a script changes is gathered here and written by commit(), a few variadic calls for a whole batch:
-- calls cost more than data, and until the first commit every check can still refuse without a trace.
local group, zrem, zadd, hdel, hset, add, touch, commit
local changed = {}
do
  local removals, additions, drops, fields, sums = {}, {}, {}, {}, {}

  function group(groups, key)
    local found = groups[key]
    if not found then
      found = {}
      groups[key] = found
    end
    return found
  end

  function zrem(key, member)
    local words = group(removals, key)
    words[#words + 1] = member
  end

  function zadd(key, score, member)
    local words = group(additions, key)
    words[#words + 1] = score
    words[#words + 1] = member
  end

  function hdel(key, field)
    local words = group(drops, key)
    words[#words + 1] = field
  end

  function hset(key, field, value)
    local words = group(fields, key)
    words[#words + 1] = field
    words[#words + 1] = value
  end

  function add(key, field, amount)
    local totals = group(sums, key)
    totals[field] = (totals[field] or 0) + amount
  end

  -- touch(id, task): write the task's small fields at the next commit.
  function touch(id, task)
    changed[id] = task
  end

  -- Redis Lua's stack takes no more than about 8,000 values in one unpack.
  local function call_in_parts(command, key, words)
    for first = 1, #words, 4000 do
      redis.call(command, key, unpack(words, first, math.min(first + 3999, #words)))
    end
  end

  -- A field that falls to 0 goes away: a type or counter that nobody uses any more must not stay for ever.
  local function commit_sums()
    for key, totals in pairs(sums) do
      for field, amount in pairs(totals) do
        if amount ~= 0 and redis.call('HINCRBY', key, field, amount) <= 0 then redis.call('HDEL', key, field) end
      end
    end
  end

  -- Removals come first: Redis 6.2 refuses a script whose first write needs memory when memory is full.
  function commit()
    for id, task in pairs(changed) do hset(tasks, id, table.concat(task, ' ')) end
    for key, words in pairs(removals) do call_in_parts('ZREM', key, words) end
    for key, words in pairs(drops) do call_in_parts('HDEL', key, words) end
    for key, words in pairs(additions) do call_in_parts('ZADD', key, words) end
    for key, words in pairs(fields) do call_in_parts('HSET', key, words) end
    commit_sums()
    if not state.schema and next(fields) then
      state.schema = SCHEMA
      redis.call('HSET', queue, 'schema', SCHEMA)
    end
    removals, additions, drops, fields, sums, changed = {}, {}, {}, {}, {}, {}
  end
end
