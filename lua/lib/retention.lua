-- retention: after finishing some tasks remove up to twice as many old ones (design rule 17). Needs finished, their number.
-- Most calls find nothing that is old enough.
if finished > 0 then
  local NEVER_YOUNGER, MOST_REMOVED = 600000, 1000
  local first, buried = redis.call('ZRANGE', completed, 0, 0, 'WITHSCORES'), redis.call('ZRANGE', cancelled, 0, 0, 'WITHSCORES')
  local old = now - NEVER_YOUNGER
  if (first[2] and tonumber(first[2]) <= old) or (buried[2] and tonumber(buried[2]) <= old) or redis.call('EXISTS', tombstones) == 1 then
    -- @include lib/purge.lua
    local most = math.min(2 * finished, MOST_REMOVED)
    purge(completed, most)
    purge(cancelled, most)
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', tombstones, '-inf', now, 'LIMIT', 0, most)) do zrem(tombstones, id) end
  end
end
