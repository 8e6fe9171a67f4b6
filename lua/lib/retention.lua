-- retention: after finishing some tasks remove up to twice as many old ones (design rule 17). Needs finished, their number.
-- Most calls find nothing that is old enough.
-- @include lib/setting.lua
if finished > 0 then
  local NEVER_YOUNGER, MOST_REMOVED = 600000, 1000
  local others, due = redis.call('EXISTS', cancelled, tombstones) > 0, false
  for _, place in ipairs(others and {completed, cancelled} or {completed}) do
    local first = redis.call('ZRANGE', place, '0', '0', 'WITHSCORES')[2]
    if first and tonumber(first) <= now - NEVER_YOUNGER then
      due = due or tonumber(first) <= now - setting('keep_ms') or redis.call('ZCARD', place) > setting('keep_count')
    end
  end
  if due or (others and redis.call('ZRANGEBYSCORE', tombstones, '-inf', stamp, 'LIMIT', '0', '1')[1]) then
    -- @include lib/purge.lua
    local most = math.min(2 * finished, MOST_REMOVED)
    purge(completed, most)
    purge(cancelled, most)
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', tombstones, '-inf', now, 'LIMIT', 0, most)) do zrem(tombstones, id) end
  end
end
