-- records(ids, deadlines): tasks as the clients read them, one list each:
--   id, small fields, document, dependencies, waiting, error, result, checkpoint, progress, attempts, reason, escalation, deadline
local leases_of, records
do
  local COLUMNS = {'D', 'W', 'E', 'R', 'C', 'G', 'A', 'N', 'S'}

  -- leases_of(ids): id -> lease deadline of those that are leased.
  function leases_of(ids)
    local by_type, deadlines = {}, {}
    for _, id in ipairs(ids) do
      local task = known[id]
      if task and task[STATE] == 'leased' then
        local members = group(by_type, task[TYPE])
        members[#members + 1] = id
      end
    end
    for type, members in pairs(by_type) do
      for i, at in ipairs(redis.call('ZMSCORE', prefix .. 'leased:' .. type, unpack(members))) do deadlines[members[i]] = at end
    end
    return deadlines
  end

  function records(ids, deadlines)
    if #ids == 0 then return {} end
    load(ids)
    local texts = redis.call('HMGET', documents, unpack(ids))
    for _, letter in ipairs(COLUMNS) do fetch(letter, ids) end
    local found = {}
    for i, id in ipairs(ids) do
      if known[id] then
        local row = {id, table.concat(known[id], ' '), texts[i]}
        for _, letter in ipairs(COLUMNS) do row[#row + 1] = entries[letter][id] or false end
        row[#row + 1] = deadlines[id] and string.format('%.0f', deadlines[id]) or false
        found[#found + 1] = row
      end
    end
    return found
  end
end
