-- leases_of(ids): id -> lease deadline of those that are leased.
local function leases_of(ids)
  local by_type, deadlines = {}, {}
  for _, id in ipairs(ids) do
    local task = known[id]
    if task and task[STATE] == 'leased' then
      local members = by_type[task[TYPE]] or {}
      by_type[task[TYPE]] = members
      members[#members + 1] = id
    end
  end
  for type, members in pairs(by_type) do
    for i, at in ipairs(redis.call('ZMSCORE', prefix .. 'leased:' .. type, unpack(members))) do deadlines[members[i]] = at end
  end
  return deadlines
end
