-- take(agent, host, names, limit, lease): what claim and exchange share. Returns rows of {token, deadline, lease, record …},
-- or {false, reason, ms}.
local take
do
  local SOON = 30000

  -- gate_of_queue(agent): what stops every type at once, and until when.
  local function gate_of_queue(agent)
    local held = hold_of(agent)
    local slow = tonumber(state.slowdown) or 0
    local ends = math.max(held, slow)
    if state.paused then return {false, 'paused', false} end
    if slow > now then return {false, 'slowdown', ends - now} end
    if held > now then return {false, 'held', held - now} end
  end

  -- pass_on(names, cursors, short): a mark for each type that still has work, or soon will: this call may have eaten it.
  local function pass_on(names, cursors, short)
    local asked = {}
    for _, type in ipairs(names) do
      marked[type] = nil
      asked[#asked + 1] = 'd:' .. type
    end
    for _, cursor in ipairs(cursors) do
      if not cursor.probe and (short or cursor.more or cursor.found[cursor.at]) then mark(cursor.type) end
    end
    for i, at in ipairs(redis.call('ZMSCORE', alarms, unpack(asked))) do
      if at and tonumber(at) <= now + SOON then mark(names[i]) end
      local words = breaker(names[i])
      if words and words[B_STATE] == 'open' and breaker_due(names[i], words) <= now + SOON then mark(names[i]) end
    end
  end

  local function claim_rows(ids, deadlines)
    local rows = records(ids, deadlines)
    for _, row in ipairs(rows) do
      local task = known[row[1]]
      row[#row + 1] = task[TOKEN]
      row[#row + 1] = task[LEASE]
    end
    return rows
  end

  function take(agent, host, names, limit, lease)
    local left = tidy(names)
    if not carry_on() then left = true end
    local stopped = gate_of_queue(agent)
    if stopped then return stopped end
    local ids, cursors = choose(names, limit)
    if #ids == 0 then return refused_claim(names, left) end
    local granted, deadlines = grant(ids, agent, host, lease)
    pass_on(names, cursors, #granted < #ids)
    return claim_rows(granted, deadlines)
  end
end
