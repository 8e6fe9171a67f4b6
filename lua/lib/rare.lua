-- rare: false when there is no to-do, no breaker with a failure, no paused type and no hold of the agents at hand, as nearly
-- always: one EXISTS over all their keys then stands for a read of each. true: there may be some, so look.
local rare = true

local function look_for(keys)
  rare = redis.call('EXISTS', unpack(keys)) > 0
end
