-- reset_alarm(kind, type): set it to the first entry that is really there, and return that time.
local function reset_alarm(kind, type)
  local place = kind == 'd' and 'delayed:' or 'leased:'
  local first = redis.call('ZRANGE', prefix .. place .. type, 0, 0, 'WITHSCORES')
  if first[2] then
    redis.call('ZADD', alarms, first[2], kind .. ':' .. type)
    return tonumber(first[2])
  end
  redis.call('ZREM', alarms, kind .. ':' .. type)
end
