-- slow_down(wait, text): nobody gets work for so many ms, at most the setting; of overlapping ones the later end wins.
-- The deadline is stored, since a message is lost by whoever isn't listening.
-- @include lib/signal.lua
-- @include lib/setting.lua
-- @include lib/cut.lua
local FARTHEST_WAIT = 315360000000

local function slow_down(wait, text)
  local length = math.floor(math.min(wait, setting('longest_slowdown_ms')))
  local ends = math.max(now + length, tonumber(state.slowdown) or 0)
  if length <= 0 then return ends end
  state.slowdown = ends
  hset(queue, 'slowdown', ends)
  event('slowdown', '', '', '', '', string.format('%.0f ', ends) .. text)
  signal('SLOWDOWN', {wait = length / 1000, reason = cut(text, 200)})
  return ends
end
