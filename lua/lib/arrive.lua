-- What a new task leaves elsewhere.
-- wait_on(fresh): enter them with those that they wait for, by one call for each of these: of a large graph several of a
-- batch wait for the same.
local function wait_on(fresh)
  local lists = {}
  for _, entry in ipairs(fresh) do
    local id, sequence = entry.id, entry.sequence
    for _, name in ipairs(entry.waits) do
      local words = lists[name]
      if words then
        local count = words.n
        words[count + 1], words[count + 2], words.n = sequence, id, count + 2
      else
        lists[name] = {sequence, id, n = 2}
      end
    end
  end
  for name, words in pairs(lists) do
    local key, count = prefix .. 'dependents:' .. name, words.n
    if count == 2 then redis.call('ZADD', key, words[1], words[2])
    else
      for first = 1, count, 4000 do redis.call('ZADD', key, unpack(words, first, math.min(first + 3999, count))) end
    end
  end
end

-- A tombstone would count an id that is in use again as completed. Only asked when there are any.
local any_tombstones
local function zrem_tombstone(id)
  if any_tombstones == nil then any_tombstones = redis.call('EXISTS', tombstones) == 1 end
  if any_tombstones then zrem(tombstones, id) end
end
