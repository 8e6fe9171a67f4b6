-- backoff(task, spread): the delay in ms after the n-th charged failure (design rule 10); spread is a random number
-- from 0 to 1 that the caller brings, used when the setting backoff_jitter is above 0.
-- @include lib/setting.lua
local LONGEST_BACKOFF = 3600000

local function backoff(task, spread)
  local wait = math.min(task[BASE] * 2 ^ (task[RETRIES] - 1), LONGEST_BACKOFF)
  return math.floor(wait * (1 + setting('backoff_jitter') * spread))
end
