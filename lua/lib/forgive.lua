-- forgive(agent): it completed a task, so its next rate limit is the first in a row again. The hold itself stays until it
-- ends; one that has ended goes, or a clock that is set back would bring it back.
-- @include lib/hold_of.lua
local function forgive(agent)
  local ends, count = hold_of(agent)
  if ends == 0 then return end
  if ends <= now then
    redis.call('DEL', prefix .. 'hold:' .. agent)
    return
  end
  if count == 0 then return end
  -- @include lib/hold.lua
  hold(agent, ends, 0)
end
