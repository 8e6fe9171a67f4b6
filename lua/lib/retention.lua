-- retention(finished): after finishing some tasks remove up to twice as many old ones (design rule 17). A removed completed
-- task leaves a tombstone: its id still counts as completed for later dependents.
local retention
do
  local NEVER_YOUNGER, MOST_REMOVED = 600000, 1000

  -- What still has a to-do is not removed: its dependents would wait for ever.
  local function removable(id)
    local task = known[id]
    return task and not (has(task, 'P') and redis.call('EXISTS', prefix .. 'dependents:' .. id) == 1)
  end

  local function purge(place, most)
    local oldest = redis.call('ZRANGE', place, 0, most - 1, 'WITHSCORES')
    if not oldest[2] or tonumber(oldest[2]) > now - NEVER_YOUNGER then return end
    local expired = now - math.max(setting('keep_ms'), NEVER_YOUNGER)
    local excess = redis.call('ZCARD', place) - setting('keep_count')
    local ids = {}
    for i = 1, #oldest, 2 do
      local ended = tonumber(oldest[i + 1])
      if ended <= expired or (#ids < excess and ended <= now - NEVER_YOUNGER) then ids[#ids + 1] = oldest[i] end
    end
    load(ids)
    for _, id in ipairs(ids) do
      if removable(id) then
        if known[id][STATE] == 'completed' then zadd(tombstones, now + setting('tombstone_ms'), id) end
        remove(id, known[id])
      end
    end
  end

  function retention(finished)
    local most = math.min(2 * finished, MOST_REMOVED)
    if most < 1 then return end
    settings_of('keep_ms', 'keep_count', 'tombstone_ms')
    purge(completed, most)
    purge(cancelled, most)
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', tombstones, '-inf', now, 'LIMIT', 0, most)) do zrem(tombstones, id) end
  end
end
