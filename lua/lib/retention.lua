-- retention: after finishing some tasks remove up to twice as many old ones (design rule 17). Needs finished, their number.
-- Most calls find nothing that is old enough.
-- @include lib/setting.lua
if finished > 0 then
  -- A call that ends a thousand tasks removes a thousand completed ones, to keep pace, but no thousand cancelled ones on
  -- top: it took 45 ms of the 50 that a call may take (design rule 16).
  local NEVER_YOUNGER, MOST_COMPLETED, MOST_CANCELLED = 600000, 1000, 250
  local others, due = redis.call('EXISTS', cancelled, tombstones) > 0, false
  for _, place in ipairs(others and {completed, cancelled} or {completed}) do
    local first = redis.call('ZRANGE', place, '0', '0', 'WITHSCORES')[2]
    if first and tonumber(first) <= now - NEVER_YOUNGER then
      due = due or tonumber(first) <= now - setting('keep_ms') or redis.call('ZCARD', place) > setting('keep_count')
    end
  end
  if due or (others and redis.call('ZRANGEBYSCORE', tombstones, '-inf', stamp, 'LIMIT', '0', '1')[1]) then
    -- @include lib/purge.lua
    local most = math.min(2 * finished, MOST_COMPLETED)
    purge(completed, most)
    purge(cancelled, math.min(most, MOST_CANCELLED))
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', tombstones, '-inf', now, 'LIMIT', 0, most)) do zrem(tombstones, id) end
  end
end
