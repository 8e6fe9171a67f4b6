#!lua name=lokibench_floor
-- The limit: the writes that no queue of this kind can leave out, and no rule. Nothing is checked, no breaker, no pause, no
-- dependency, no retry, no lost reply is thought of. What lokiredis costs above this is the price of its rules.
--
-- KEYS  tasks, documents, index, unique, results, completed, events, ready (one per type), leased (one per type)
-- ARGV  per task: as each function says
local function event(KEYS, kind, ids)
  redis.call('XADD', KEYS[7], 'MAXLEN', '~', '10000', '*', 'events', kind .. ' ' .. table.concat(ids, ' '))
end

-- ARGV: per task id, number of its type, small fields, digest, document
local function enqueue(KEYS, ARGV)
  local fields, texts, digests, places, ready, ids = {}, {}, {}, {}, {}, {}
  local last = redis.call('HINCRBY', KEYS[1], ':', #ARGV / 5) - #ARGV / 5
  for at = 1, #ARGV, 5 do
    local id, type, sequence = ARGV[at], ARGV[at + 1], tostring(last + (at + 4) / 5)
    fields[#fields + 1], texts[#texts + 1], digests[#digests + 1] = id, id, ARGV[at + 3]
    fields[#fields + 1], texts[#texts + 1], digests[#digests + 1] = ARGV[at + 2], ARGV[at + 4], id
    places[#places + 1], places[#places + 2] = sequence, id
    local members = ready[type] or {}
    ready[type] = members
    members[#members + 1], members[#members + 2] = sequence, id
    ids[#ids + 1] = id
  end
  redis.call('HSET', KEYS[1], unpack(fields))
  redis.call('HSET', KEYS[2], unpack(texts))
  redis.call('HSET', KEYS[4], unpack(digests))
  redis.call('ZADD', KEYS[3], unpack(places))
  for type, members in pairs(ready) do redis.call('ZADD', KEYS[7 + type], unpack(members)) end
  event(KEYS, 'enqueued', ids)
  return ids
end

-- ARGV: limit, small fields of a claimed task, number of types. Gives back id and document of each.
local function claim(KEYS, ARGV)
  local limit, types = tonumber(ARGV[1]), tonumber(ARGV[3])
  local now = redis.call('TIME')[1] * 1000
  local fields, removed, leased, ids = {}, {}, {}, {}
  local found, places = {}, {}
  for type = 1, types do
    found[type], places[type] = redis.call('ZRANGE', KEYS[7 + type], 0, math.ceil(limit / types) - 1, 'WITHSCORES'), 1
    removed[type], leased[type] = {}, {}
  end
  while #ids < limit do
    local best
    for type = 1, types do
      local rank = tonumber(found[type][places[type] + 1])
      if rank and (not best or rank < tonumber(found[best][places[best] + 1])) then best = type end
    end
    if not best then break end
    local id = found[best][places[best]]
    places[best] = places[best] + 2
    ids[#ids + 1] = id
    removed[best][#removed[best] + 1] = id
    leased[best][#leased[best] + 1], leased[best][#leased[best] + 2] = now, id
    fields[#fields + 1], fields[#fields + 2] = id, ARGV[2]
  end
  for type = 1, types do
    if removed[type][1] then
      redis.call('ZREM', KEYS[7 + type], unpack(removed[type]))
      redis.call('ZADD', KEYS[7 + types + type], unpack(leased[type]))
    end
  end
  redis.call('HSET', KEYS[1], unpack(fields))
  event(KEYS, 'claimed', ids)
  return {ids, redis.call('HMGET', KEYS[2], unpack(ids))}
end

-- ARGV: number of types, small fields of a completed task, then per task: id, number of its type, result
local function complete(KEYS, ARGV)
  local types, now = tonumber(ARGV[1]), redis.call('TIME')[1] * 1000
  local fields, texts, done, removed, ids = {}, {}, {}, {}, {}
  for at = 3, #ARGV, 3 do
    local id, type = ARGV[at], ARGV[at + 1]
    fields[#fields + 1], fields[#fields + 2] = id, ARGV[2]
    texts[#texts + 1], texts[#texts + 2] = id, ARGV[at + 2]
    done[#done + 1], done[#done + 2] = now, id
    removed[type] = removed[type] or {}
    removed[type][#removed[type] + 1] = id
    ids[#ids + 1] = id
  end
  for type, members in pairs(removed) do redis.call('ZREM', KEYS[7 + types + type], unpack(members)) end
  redis.call('ZADD', KEYS[6], unpack(done))
  redis.call('HSET', KEYS[5], unpack(texts))
  redis.call('HSET', KEYS[1], unpack(fields))
  event(KEYS, 'completed', ids)
  return ids
end

redis.register_function('lokibench_enqueue', enqueue)
redis.register_function('lokibench_claim', claim)
redis.register_function('lokibench_complete', complete)
