-- rare: false when there is no to-do, no breaker with a failure, no paused type and no hold of the agents at hand, as nearly
-- always: one EXISTS over all their keys then stands for a read of each. true: there may be some, so look.
local rare = true

-- look_for(key, ...): gives back how many of them are there.
local function look_for(...)
  local count = redis.call('EXISTS', ...)
  rare = count > 0
  return count
end
