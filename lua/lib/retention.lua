-- retention: after finishing some tasks remove up to twice as many old ones (design rule 17). Needs finished, their number.
-- Most calls find nothing that is old enough.
if finished > 0 then
  local NEVER_YOUNGER, MOST_REMOVED = 600000, 1000
  local first = redis.call('ZRANGE', completed, '0', '0', 'WITHSCORES')[2]
  local due = first and tonumber(first) <= now - NEVER_YOUNGER
  if not due and redis.call('EXISTS', cancelled, tombstones) > 0 then
    local buried = redis.call('ZRANGE', cancelled, 0, 0, 'WITHSCORES')[2]
    due = (buried and tonumber(buried) <= now - NEVER_YOUNGER) or redis.call('EXISTS', tombstones) == 1
  end
  if due then
    -- @include lib/purge.lua
    local most = math.min(2 * finished, MOST_REMOVED)
    purge(completed, most)
    purge(cancelled, most)
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', tombstones, '-inf', now, 'LIMIT', 0, most)) do zrem(tombstones, id) end
  end
end
