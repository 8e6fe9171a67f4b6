-- choose(names, limit): the best ready tasks of these types in claim order (design rules 2 and 3), nothing written.
-- gates: type -> 'open', 'probe' (one task and no more), or what stops it: 'paused' or 'breaker'.
-- @include lib/breaker.lua
-- @include lib/breaker_due.lua
local gates = {}

local function load_gates(names)
  load_breakers(names)
  for i, flag in ipairs(redis.call('HMGET', paused, unpack(names))) do
    local type = names[i]
    local words = breaker(type)
    if flag then gates[type] = 'paused'
    elseif not words or words[B_STATE] == 'closed' then gates[type] = 'open'
    elseif words[B_STATE] == 'open' and breaker_due(type, words) <= now then gates[type] = 'probe'
    else gates[type] = 'breaker' end
  end
end

-- probe_of(type): the task that may test the breaker: the first, unless that one just failed as a probe and another is there.
local function probe_of(type)
  local first = redis.call('ZRANGE', prefix .. 'ready:' .. type, 0, 1, 'WITHSCORES')
  local at = (first[3] and first[1] == breaker(type)[SKIP]) and 3 or 1
  return {first[at], first[at + 1]}
end

-- A cursor along one type's ready tasks; more: the last read came back full, so there may be further ones.
local function read_on(cursor)
  cursor.found = redis.call('ZRANGE', prefix .. 'ready:' .. cursor.type, cursor.from, cursor.from + cursor.size - 1, 'WITHSCORES')
  cursor.from, cursor.at = cursor.from + cursor.size, 1
  cursor.more = #cursor.found == 2 * cursor.size
end

local function cursors_of(names, limit)
  local cursors, open = {}, 0
  for _, type in ipairs(names) do
    if gates[type] == 'open' then open = open + 1 end
  end
  for _, type in ipairs(names) do
    if gates[type] == 'open' then
      local cursor = {type = type, from = 0, size = math.ceil(limit / open) + 1, found = false, at = 1, more = false}
      read_on(cursor)
      cursors[#cursors + 1] = cursor
    elseif gates[type] == 'probe' then
      cursors[#cursors + 1] = {type = type, found = probe_of(type), at = 1, probe = true}
    end
  end
  return cursors
end

local function choose(names, limit)
  load_gates(names)
  local cursors, chosen_ids = cursors_of(names, limit), {}
  while #chosen_ids < limit do
    local best, score
    for _, cursor in ipairs(cursors) do
      if not cursor.found[cursor.at] and cursor.more then read_on(cursor) end
      local at = tonumber(cursor.found[cursor.at + 1])
      if at and (not score or at < score) then best, score = cursor, at end
    end
    if not best then break end
    chosen_ids[#chosen_ids + 1] = best.found[best.at]
    best.at = best.probe and 3 or best.at + 2
  end
  return chosen_ids, cursors
end
