-- forgive(agent): it completed a task, so its next rate limit is the first in a row again. The hold itself stays.
-- @include lib/hold_of.lua
local function forgive(agent)
  local ends, count = hold_of(agent)
  if count == 0 then return end
  if ends <= now then
    redis.call('DEL', prefix .. 'hold:' .. agent)
    return
  end
  -- @include lib/hold.lua
  hold(agent, ends, 0)
end
