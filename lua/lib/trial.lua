-- trial(command, key, ...): stands in for redis.call where a script asks what another one would do. What that one writes is
-- kept here, and shows in what it reads afterwards; Redis itself is only read. A command that is not known here is an
-- error: what isn't tried would make a script tell something else than what really happens.
-- @include lib/less.lua
-- key -> field or member -> value or score, false when it is gone.
local tried_fields, tried_scores, tried_texts = {}, {}, {}

local function tried(of, key)
  of[key] = of[key] or {}
  return of[key]
end

local function try_hmget(key, ...)
  local found = redis.call('HMGET', key, ...)
  for i, field in ipairs({...}) do
    local value = (tried_fields[key] or {})[field]
    if value ~= nil then found[i] = value end
  end
  return found
end

local function try_hget(key, field)
  return try_hmget(key, field)[1]
end

local function try_hexists(key, field)
  return try_hget(key, field) and 1 or 0
end

local function try_hstrlen(key, field)
  return #(try_hget(key, field) or '')
end

local function try_hgetall(key)
  local found = redis.call('HGETALL', key)
  for field, value in pairs(tried_fields[key] or {}) do
    for i = #found - 1, 1, -2 do
      if found[i] == field then
        table.remove(found, i)
        table.remove(found, i)
      end
    end
    if value then
      found[#found + 1] = field
      found[#found + 1] = value
    end
  end
  return found
end

local function try_hset(key, ...)
  local words = {...}
  for i = 1, #words, 2 do tried(tried_fields, key)[words[i]] = tostring(words[i + 1]) end
end

local function try_hdel(key, ...)
  for _, field in ipairs({...}) do tried(tried_fields, key)[field] = false end
end

local function try_hincrby(key, field, amount)
  local sum = (tonumber(try_hget(key, field)) or 0) + amount
  tried(tried_fields, key)[field] = string.format('%.0f', sum)
  return sum
end

local function try_zmscore(key, ...)
  local found = redis.call('ZMSCORE', key, ...)
  for i, member in ipairs({...}) do
    local score = (tried_scores[key] or {})[member]
    if score ~= nil then found[i] = score and string.format('%.17g', score) end
  end
  return found
end

-- Of the options only those of lib/set_alarms.lua: LT, and CH.
local function try_zadd(key, ...)
  local words, at, lower, count = {...}, 1, false, 0
  while words[at] == 'LT' or words[at] == 'CH' do
    lower = lower or words[at] == 'LT'
    at = at + 1
  end
  for i = at, #words, 2 do
    local score, before = tonumber(words[i]), tonumber(try_zmscore(key, words[i + 1])[1] or nil)
    if score ~= before and not (lower and before and before < score) then
      tried(tried_scores, key)[words[i + 1]] = score
      count = count + 1
    end
  end
  return count
end

local function try_zrem(key, ...)
  for _, member in ipairs({...}) do tried(tried_scores, key)[member] = false end
end

-- Of sorted sets that are small, as the scripts call it.
local function try_del(...)
  for _, key in ipairs({...}) do try_zrem(key, unpack(redis.call('ZRANGE', key, 0, -1))) end
end

local function by_score(a, b)
  if a[1] ~= b[1] then return a[1] < b[1] end
  return less(a[2], b[2])
end

-- first_of(key, most, highest): the first {score, member} up to that score, in order.
local function first_of(key, most, highest)
  local own, hidden, found = tried_scores[key] or {}, 0, {}
  for _ in pairs(own) do hidden = hidden + 1 end
  local stored = redis.call('ZRANGEBYSCORE', key, '-inf', highest, 'WITHSCORES', 'LIMIT', 0, most + hidden)
  for i = 1, #stored, 2 do
    if own[stored[i]] == nil then found[#found + 1] = {tonumber(stored[i + 1]), stored[i]} end
  end
  for member, score in pairs(own) do
    if score and (highest == '+inf' or score <= tonumber(highest)) then found[#found + 1] = {score, member} end
  end
  table.sort(found, by_score)
  return {unpack(found, 1, math.min(#found, most))}
end

local function flat(entries, first, scored)
  local words = {}
  for i = first, #entries do
    words[#words + 1] = entries[i][2]
    if scored then words[#words + 1] = string.format('%.17g', entries[i][1]) end
  end
  return words
end

local function try_zrange(key, first, last, scored)
  if not tried_scores[key] then return scored and redis.call('ZRANGE', key, first, last, scored) or redis.call('ZRANGE', key, first, last) end
  return flat(first_of(key, tonumber(last) + 1, '+inf'), tonumber(first) + 1, scored)
end

-- As the scripts call it: from the lowest score on, the first few.
local function try_zrangebyscore(key, lowest, highest, limit, offset, most, ...)
  if lowest ~= '-inf' or limit ~= 'LIMIT' or tonumber(offset) ~= 0 or ... then error('ZRANGEBYSCORE is not tried like this') end
  return flat(first_of(key, tonumber(most), highest), 1)
end

-- How many have a score below this one.
local function try_zcount(key, lowest, below)
  local count = redis.call('ZCOUNT', key, lowest, below)
  if lowest ~= '-inf' or string.sub(below, 1, 1) ~= '(' then error('ZCOUNT is not tried like this') end
  local limit = tonumber(string.sub(below, 2))
  for member, score in pairs(tried_scores[key] or {}) do
    local stored = tonumber(redis.call('ZSCORE', key, member) or nil)
    if stored and stored < limit then count = count - 1 end
    if score and score < limit then count = count + 1 end
  end
  return count
end

local function try_zcard(key)
  local count = redis.call('ZCARD', key)
  for member, score in pairs(tried_scores[key] or {}) do
    if redis.call('ZSCORE', key, member) then count = count - 1 end
    if score then count = count + 1 end
  end
  return count
end

local function try_get(key)
  if tried_texts[key] ~= nil then return tried_texts[key] end
  return redis.call('GET', key)
end

local function try_set(key, value)
  tried_texts[key] = tostring(value)
end

local function try_exists(...)
  local count = 0
  for _, key in ipairs({...}) do
    if tried_texts[key] then count = count + 1
    elseif tried_scores[key] then count = count + math.min(try_zcard(key), 1)
    elseif tried_fields[key] then count = count + (next(try_hgetall(key)) and 1 or 0)
    else count = count + redis.call('EXISTS', key) end
  end
  return count
end

local function try_time()
  return redis.call('TIME')
end

-- Nobody hears of what is only tried.
local function try_nothing() end

local TRIALS = {
  HGET = try_hget, HMGET = try_hmget, HEXISTS = try_hexists, HSTRLEN = try_hstrlen, HGETALL = try_hgetall, HSET = try_hset,
  HDEL = try_hdel, DEL = try_del, HINCRBY = try_hincrby, ZADD = try_zadd, ZREM = try_zrem, ZMSCORE = try_zmscore, ZRANGE = try_zrange,
  ZRANGEBYSCORE = try_zrangebyscore, ZCOUNT = try_zcount, ZCARD = try_zcard, GET = try_get, SET = try_set,
  EXISTS = try_exists, TIME = try_time, XADD = try_nothing, PUBLISH = try_nothing,
}

local function trial(command, ...)
  return (TRIALS[command] or error('a claim that is only tried knows no ' .. command))(...)
end
