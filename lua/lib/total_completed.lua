-- total_completed(): since the queue was made. The tally only counts those that are stored no more (lib/transition.lua).
local function total_completed()
  return redis.call('ZCARD', completed) + (redis.call('HGET', tally, 'total:completed') or 0)
end
