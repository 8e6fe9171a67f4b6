-- set_alarms(): write the gathered alarms. An earlier due time leaves a mark, so that a waiting agent learns of it; of a lease
-- only when it ends before that agent asks again anyway.
local function set_alarms()
  local ASKED_AGAIN = 30000
  local leases = {}
  for name, at in pairs(rung) do
    if string.sub(name, 1, 1) == 'l' and not (awaited and at - now < ASKED_AGAIN) then
      leases[#leases + 1] = at
      leases[#leases + 1] = name
    elseif redis.call('ZADD', alarms, 'LT', 'CH', at, name) == 1 then
      marked[string.sub(name, 3)] = true
    end
  end
  if #leases > 0 then redis.call('ZADD', alarms, 'LT', unpack(leases)) end
  rung = nil
end
