-- hold(agent, ends, count): the key's own expiry only cleans up.
local HOLD_KEPT = 86400000

local function hold(agent, ends, count)
  local kept = math.max(ends - now, 0) + HOLD_KEPT
  redis.call('SET', prefix .. 'hold:' .. agent, string.format('%.0f %d', ends, count), 'PX', string.format('%.0f', kept))
end
