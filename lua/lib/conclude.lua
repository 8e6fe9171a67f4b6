-- conclude(): write all that is still gathered, then tell the others. The last call of every script that changes something.
local EVENTS_KEPT, LINES_PER_ENTRY = 10000, 100
local messages = {}

-- An earlier due time leaves a mark, so that a waiting agent learns of it.
local function set_alarms()
  local leases = {}
  for name, at in pairs(rung) do
    if string.sub(name, 1, 1) == 'l' then
      leases[#leases + 1] = at
      leases[#leases + 1] = name
    elseif redis.call('ZADD', alarms, 'LT', 'CH', at, name) == 1 then
      mark(string.sub(name, 3))
    end
  end
  if #leases > 0 then redis.call('ZADD', alarms, 'LT', unpack(leases)) end
  rung = nil
end

local function conclude()
  commit()
  if rung then set_alarms() end
  for type in pairs(marked) do redis.call('ZADD', prefix .. 'wake:' .. type, 0, '1') end
  for first = 1, #lines, LINES_PER_ENTRY do
    local text = table.concat(lines, '\n', first, math.min(first + LINES_PER_ENTRY - 1, #lines))
    redis.call('XADD', events, 'MAXLEN', '~', EVENTS_KEPT, '*', 'at', now, 'events', text)
  end
  for _, message in ipairs(messages) do redis.call('PUBLISH', signals, message) end
end
