-- purge(place, most): remove the oldest tasks of an index that are too old or too many. A completed one leaves a tombstone:
-- its id still counts as completed for later dependents.
-- @include lib/remove.lua
-- @include lib/setting.lua
-- @include lib/side.lua

-- What still has a to-do is not removed: its dependents would wait for ever.
local function removable(id)
  return known[id] and redis.call('EXISTS', prefix .. 'dependents:' .. id) == 0
end

local function purge(place, most)
  local oldest = redis.call('ZRANGE', place, 0, most - 1, 'WITHSCORES')
  settings_of('keep_ms', 'keep_count', 'tombstone_ms')
  local expired = now - math.max(setting('keep_ms'), NEVER_YOUNGER)
  local excess = redis.call('ZCARD', place) - setting('keep_count')
  local ids = {}
  for i = 1, #oldest, 2 do
    local ended_at = tonumber(oldest[i + 1])
    if ended_at <= expired or (#ids < excess and ended_at <= now - NEVER_YOUNGER) then ids[#ids + 1] = oldest[i] end
  end
  load(ids)
  for _, id in ipairs(ids) do
    if removable(id) then
      if known[id][STATE] == 'completed' then zadd(tombstones, now + setting('tombstone_ms'), id) end
      remove(id, known[id])
    end
  end
end
