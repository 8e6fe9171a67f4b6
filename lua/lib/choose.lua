-- choose: the best ready tasks of the types in claim order (design rules 2 and 3), nothing written. Sets chosen_ids; and gates,
-- type -> 'probe' (one task and no more), or what stops it: 'paused' or 'breaker'; nil for a type that is open.
-- lists: the types that have ready tasks. found are those that were read, with their ranks; at is where the next of them stands,
-- rank its rank; more: from where to read on, when the last read came back full.
local chosen_ids, lists, gates = {}, {}, {}
local size
do
  local open = #names
  -- An ending of the same call may have made a breaker where there was none.
  if rare or next(read_breakers) then
    load_breakers(names)
    local flags = rare and redis.call('HMGET', paused, unpack(names)) or {}
    for i, type in ipairs(names) do
      local words = read_breakers[type]
      if flags[i] then gates[type] = 'paused'
      elseif words and words[B_STATE] ~= 'closed' then
        -- @include lib/breaker_due.lua
        gates[type] = words[B_STATE] == 'open' and breaker_due(type, words) <= now and 'probe' or 'breaker'
      end
      if gates[type] then open = open - 1 end
    end
  end
  -- Where somebody waits, one more is read than may be given, to know whether a mark must be left for him.
  size = math.ceil(limit / open) + (awaited and 1 or 0)
end

-- alone: one task, and nobody waits who might have to know of the next: then the best of the heads is all that is kept.
local alone, best_id, best_rank = limit == 1 and not awaited, nil, nil
for i = 1, #names do
  local type = names[i]
  local gate, found, more = gates[type], nil, nil
  if not gate then
    found = redis.call('ZRANGE', index_key('ready', type), '0', size == 1 and '0' or size - 1, 'WITHSCORES')
    more = #found == 2 * size and size
  elseif gate == 'probe' then
    local first = redis.call('ZRANGE', index_key('ready', type), '0', '1', 'WITHSCORES')
    -- The task that just failed as a probe gives way, when another is there.
    found = first[1] == read_breakers[type][SKIP] and first[3] and {first[3], first[4]} or {first[1], first[2]}
  end
  if found and found[1] then
    local rank = tonumber(found[2])
    if not alone then
      lists[#lists + 1] = {type = type, found = found, at = 1, rank = rank, more = more}
    elseif not best_rank or rank < best_rank then
      best_id, best_rank = found[1], rank
    end
  end
end

if best_id then chosen_ids = {best_id} end

for number = 1, alone and 0 or limit do
  local best
  for i = 1, #lists do
    local list = lists[i]
    if list.rank and (not best or list.rank < best.rank) then best = list end
  end
  if not best then break end
  local found, at = best.found, best.at
  chosen_ids[number] = found[at]
  at = at + 2
  if best.more and not found[at] then
    if number < limit then
      found = redis.call('ZRANGE', index_key('ready', best.type), best.more, best.more + size - 1, 'WITHSCORES')
      at, best.found, best.more = 1, found, #found == 2 * size and best.more + size
    end
  end
  best.at, best.rank = at, tonumber(found[at + 1])
end
