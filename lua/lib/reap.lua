-- tidy(names): what every claim does first for its types, a bounded number each: expired leases are charged and due
-- delayed tasks become ready (design rule 6). True when some of that work is left over.
local tidy
do
  local REAPED_AT_ONCE, PROMOTED_AT_ONCE, GRACE = 200, 200, 60000

  -- may_reap(): not in the minute after a time in which nobody reaped: the living must renew first, or an outage
  -- would expire a whole fleet.
  local function may_reap()
    local last, grace = tonumber(state.reaped), tonumber(state.grace)
    if last and (now - last > GRACE or now < last) then
      grace = now + GRACE
      state.grace = grace
      hset(queue, 'grace', grace)
    end
    -- Once a second is enough, and spares the append-only file a write for every refused claim.
    if not last or now < last or now - last >= 1000 then
      state.reaped = now
      hset(queue, 'reaped', now)
    end
    return not grace or now >= grace
  end

  local function reap(type, most)
    local ids = redis.call('ZRANGEBYSCORE', prefix .. 'leased:' .. type, '-inf', now, 'LIMIT', 0, most)
    load(ids)
    for _, id in ipairs(ids) do
      local task = known[id]
      local who = task[AGENT] .. (task[HOST] ~= '' and ' on ' .. task[HOST] or '')
      local text = 'lost: ' .. who .. ' did not renew its lease'
      if tonumber(task[LIMIT]) <= now then text = 'timeout: ' .. who .. ' took longer than ' .. task[TIMEOUT] / 1000 .. ' s' end
      charge(id, task, 'expired', 'expire', text, true, 0)
    end
    return #ids
  end

  local function promote(type, most)
    local ids = redis.call('ZRANGEBYSCORE', prefix .. 'delayed:' .. type, '-inf', now, 'LIMIT', 0, most)
    load(ids)
    for _, id in ipairs(ids) do transition(id, known[id], 'ready', rank(known[id])) end
    return #ids
  end

  -- due(names, kind, scores, offset): the types whose alarm of that kind has rung.
  local function due(names, scores, offset)
    local found = {}
    for i, type in ipairs(names) do
      local at = scores[offset + i]
      if at and tonumber(at) <= now then found[#found + 1] = type end
    end
    return found
  end

  function tidy(names)
    local asked, left = {}, false
    for _, type in ipairs(names) do asked[#asked + 1] = 'd:' .. type end
    for _, type in ipairs(names) do asked[#asked + 1] = 'l:' .. type end
    local scores = redis.call('ZMSCORE', alarms, unpack(asked))
    local delayed, leased = due(names, scores, 0), may_reap() and due(names, scores, #names) or {}
    if #delayed + #leased == 0 then return false end
    local share = math.max(1, math.floor(PROMOTED_AT_ONCE / math.max(#delayed, 1)))
    for _, type in ipairs(delayed) do promote(type, share) end
    share = math.max(1, math.floor(REAPED_AT_ONCE / math.max(#leased, 1)))
    for _, type in ipairs(leased) do reap(type, share) end
    commit()
    for kind, list in pairs({d = delayed, l = leased}) do
      for _, type in ipairs(list) do
        local at = reset_alarm(kind, type)
        if at and at <= now then
          left = true
          mark(type)
        end
      end
    end
    return left
  end
end
