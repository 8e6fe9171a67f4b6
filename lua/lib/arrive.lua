-- What a new task leaves elsewhere.
-- wait_on(entry, sequence): enter it with those that it waits for. Written at once, for once: most of these sets are new, and to
-- gather 10,000 of them first took as long as writing them.
local function wait_on(entry, sequence)
  local start, id = prefix .. 'dependents:', entry.id
  for _, name in ipairs(entry.waits) do redis.call('ZADD', start .. name, sequence, id) end
end

-- A tombstone would count an id that is in use again as completed. Only asked when there are any.
local any_tombstones
local function zrem_tombstone(id)
  if any_tombstones == nil then any_tombstones = redis.call('EXISTS', tombstones) == 1 end
  if any_tombstones then zrem(tombstones, id) end
end
