-- read_alarms(): of the types, the first delayed task of names[i] at [i], its first lease at [#names + i]; false for none.
local function read_alarms()
  local count, asked = #names, {}
  for i, type in ipairs(names) do asked[i], asked[count + i] = 'd:' .. type, 'l:' .. type end
  return redis.call('ZMSCORE', alarms, unpack(asked))
end
