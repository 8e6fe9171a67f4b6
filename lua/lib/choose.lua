-- choose: the best ready tasks of the types in claim order (design rules 2 and 3), nothing written. Sets chosen_ids, the
-- cursors, and gates: type -> 'open', 'probe' (one task and no more), or what stops it: 'paused' or 'breaker'.
local gates, cursors, chosen_ids, open = {}, {}, {}, 0
load_breakers(names)
for i, flag in ipairs(redis.call('HMGET', paused, unpack(names))) do
  local type = names[i]
  local words, gate = read_breakers[type], 'open'
  if flag then gate = 'paused'
  elseif words and words[B_STATE] ~= 'closed' then
    -- @include lib/breaker_due.lua
    gate = words[B_STATE] == 'open' and breaker_due(type, words) <= now and 'probe' or 'breaker'
  end
  gates[type] = gate
  if gate == 'open' then open = open + 1 end
end

-- A cursor along one type's ready tasks; more: the last read came back full, so there may be further ones.
for _, type in ipairs(names) do
  local size = gates[type] == 'open' and math.ceil(limit / open) + 1 or gates[type] == 'probe' and 2
  if size then
    local found = redis.call('ZRANGE', prefix .. 'ready:' .. type, 0, size - 1, 'WITHSCORES')
    local probe = gates[type] == 'probe'
    -- The task that just failed as a probe gives way, when another is there.
    if probe then found = found[1] == read_breakers[type][SKIP] and found[3] and {found[3], found[4]} or {found[1], found[2]} end
    cursors[#cursors + 1] = {
      type = type, size = size, from = size, found = found, at = 1, probe = probe, more = not probe and #found == 2 * size,
    }
  end
end

while #chosen_ids < limit do
  local best, score
  for _, cursor in ipairs(cursors) do
    if not cursor.found[cursor.at] and cursor.more then
      cursor.found = redis.call('ZRANGE', prefix .. 'ready:' .. cursor.type, cursor.from, cursor.from + cursor.size - 1, 'WITHSCORES')
      cursor.from, cursor.at, cursor.more = cursor.from + cursor.size, 1, #cursor.found == 2 * cursor.size
    end
    local at = tonumber(cursor.found[cursor.at + 1])
    if at and (not score or at < score) then best, score = cursor, at end
  end
  if not best then break end
  chosen_ids[#chosen_ids + 1] = best.found[best.at]
  best.at = best.at + 2
end
