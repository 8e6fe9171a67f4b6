-- set_alarms(): write the gathered alarms. An earlier due time leaves a mark, so that a waiting agent learns of it; of a lease
-- only when it ends before that agent asks again anyway.
local function set_alarms()
  local ASKED_AGAIN = 30000
  for type, at in pairs(due_rung or {}) do
    if redis.call('ZADD', alarms, 'LT', 'CH', at, 'd:' .. type) == 1 then marked[type] = true end
  end
  local later = {}
  for type, at in pairs(leases_rung or {}) do
    if not (awaited and at - now < ASKED_AGAIN) then
      later[#later + 1] = at
      later[#later + 1] = 'l:' .. type
    elseif redis.call('ZADD', alarms, 'LT', 'CH', at, 'l:' .. type) == 1 then
      marked[type] = true
    end
  end
  if later[1] then redis.call('ZADD', alarms, 'LT', unpack(later)) end
  due_rung, leases_rung = nil, nil
end
