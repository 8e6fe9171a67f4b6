-- Alarms: one sorted set says when each type needs a look next: 'd:<type>' its first delayed task, 'l:<type>' its
-- first lease. An alarm may ring early (its task went away) and is then set anew; it never rings late.
-- An earlier due time leaves a mark, so that a waiting agent learns of it (design rule 7).
local alarm, set_alarms, reset_alarm
do
  local rung = {}

  function alarm(kind, type, at)
    local name = kind .. ':' .. type
    if not rung[name] or at < rung[name] then rung[name] = at end
  end

  function set_alarms()
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
    rung = {}
  end

  -- reset_alarm(kind, type): set it to the first entry that is really there.
  function reset_alarm(kind, type)
    local place = kind == 'd' and 'delayed:' or 'leased:'
    local first = redis.call('ZRANGE', prefix .. place .. type, 0, 0, 'WITHSCORES')
    if first[2] then
      redis.call('ZADD', alarms, first[2], kind .. ':' .. type)
      return tonumber(first[2])
    end
    redis.call('ZREM', alarms, kind .. ':' .. type)
  end
end
