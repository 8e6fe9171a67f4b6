-- leave_release(id): those that wait for this task, which has completed, are to be released. To look whether there are any is
-- to read the first of them, for as many as one call works on: a thousand tasks may have a hundred each.
-- @include lib/to_do.lua
local MOST_AHEAD = 500
local ahead_count = 0

local function leave_release(id)
  local key, found = prefix .. 'dependents:' .. id, nil
  if ahead_count >= MOST_AHEAD then
    if redis.call('EXISTS', key) == 0 then return end
  else
    found = redis.call('ZRANGE', key, '0', WORK_AT_ONCE - 1, 'WITHSCORES')
    if not found[1] then return end
    ahead_count = ahead_count + #found / 2
  end
  to_do[#to_do + 1] = {kind = 'release', parent = id, key = key, found = found}
end
