-- set_alarms(): write the gathered alarms. An earlier due time leaves a mark, so that a waiting agent learns of it.
local function set_alarms()
  local leases = {}
  for name, at in pairs(rung) do
    if string.sub(name, 1, 1) == 'l' then
      leases[#leases + 1] = at
      leases[#leases + 1] = name
    elseif redis.call('ZADD', alarms, 'LT', 'CH', at, name) == 1 then
      marked[string.sub(name, 3)] = true
    end
  end
  if #leases > 0 then redis.call('ZADD', alarms, 'LT', unpack(leases)) end
  rung = nil
end
