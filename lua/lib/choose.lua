-- choose: the best ready tasks of the types in claim order (design rules 2 and 3), nothing written. Sets chosen_ids, and gates:
-- type -> 'open', 'probe' (one task and no more), or what stops it: 'paused' or 'breaker'.
-- found[i] are the ready tasks of names[i] that were read, with their ranks; places[i] is where the next of them stands;
-- more[i]: from where to read on, when the last read came back full.
local gates, chosen_ids, found, places, more = {}, {}, {}, {}, {}
local size
do
  local open = 0
  load_breakers(names)
  local flags = rare and redis.call('HMGET', paused, unpack(names)) or {}
  for i, type in ipairs(names) do
    local words, gate = read_breakers[type], 'open'
    if flags[i] then gate = 'paused'
    elseif words and words[B_STATE] ~= 'closed' then
      -- @include lib/breaker_due.lua
      gate = words[B_STATE] == 'open' and breaker_due(type, words) <= now and 'probe' or 'breaker'
    end
    gates[type] = gate
    if gate == 'open' then open = open + 1 end
  end
  -- Where somebody waits, one more is read than may be given, to know whether a mark must be left for him.
  size = math.ceil(limit / open) + (awaited and 1 or 0)
end

for i, type in ipairs(names) do
  places[i] = 1
  if gates[type] == 'open' then
    found[i] = redis.call('ZRANGE', prefix .. 'ready:' .. type, '0', size == 1 and '0' or size - 1, 'WITHSCORES')
    more[i] = #found[i] == 2 * size and size
  elseif gates[type] == 'probe' then
    local first = redis.call('ZRANGE', prefix .. 'ready:' .. type, '0', '1', 'WITHSCORES')
    -- The task that just failed as a probe gives way, when another is there.
    found[i] = first[1] == read_breakers[type][SKIP] and first[3] and {first[3], first[4]} or {first[1], first[2]}
  else
    found[i] = {}
  end
end

-- ranks[i]: of the task at places[i], as a number: it is read from its text once, not once for each task that is chosen.
local ranks = {}
for i = 1, #names do ranks[i] = tonumber(found[i][2]) end
for number = 1, limit do
  local best
  for i = 1, #names do
    if ranks[i] and (not best or ranks[i] < ranks[best]) then best = i end
  end
  if not best then break end
  chosen_ids[number] = found[best][places[best]]
  places[best] = places[best] + 2
  if number < limit then
    if more[best] and not found[best][places[best]] then
      found[best] = redis.call('ZRANGE', prefix .. 'ready:' .. names[best], more[best], more[best] + size - 1, 'WITHSCORES')
      places[best], more[best] = 1, #found[best] == 2 * size and more[best] + size
    end
    ranks[best] = tonumber(found[best][places[best] + 1])
  end
end
