-- tidy: what every claim does first for its types, a bounded number each: expired leases are charged and due delayed tasks
-- become ready (design rule 6). Sets left, true when some bounded work is left over, and scores, the alarms of the types
-- (lib/read_alarms.lua): nil when nothing in the queue rings by now, or soon when somebody waits who may have to know.
local SOON = 30000
local left, scores = false, nil
do
  local GRACE = 60000
  if due_rung or leases_rung then
    -- @include lib/set_alarms.lua
    set_alarms()
  end

  -- Nothing is reaped in the minute after a time in which nobody reaped: the living must renew first, or an outage would
  -- expire a whole fleet.
  -- A lease that had ended by the last run was given its minute then: without this, agents that ask less than once a minute
  -- would begin a new grace each time, and a dead agent's task would wait for ever.
  local last, grace = tonumber(state.reaped), tonumber(state.grace)
  local reap_until = (not grace or now >= grace) and now or 0
  if last and (now - last > GRACE or now < last) then
    -- Another process is the server now: then it was away, and in the minute before may have been there for a moment only.
    local server = redis.pcall('INFO', 'server')
    local run = string.match(tostring(server), 'run_id:(%x%x%x%x%x%x%x%x)') or ''
    reap_until = grace and grace > last and now >= grace and run == state.run and last or 0
    grace = now + GRACE
    state.grace, state.run = grace, run
    hset(queue, 'grace', grace)
    hset(queue, 'run', run)
  end
  -- Once a second is enough, and spares the append-only file a write for every refused claim.
  if not last or now < last or now - last >= 1000 then hset(queue, 'reaped', now) end

  if redis.call('ZRANGEBYSCORE', alarms, '-inf', awaited and now + SOON or stamp, 'LIMIT', '0', '1')[1] then
    -- @include lib/read_alarms.lua
    scores = read_alarms()
    local count, delayed, leased = #names, nil, nil
    for i, type in ipairs(names) do
      if scores[i] and tonumber(scores[i]) <= now then
        delayed = delayed or {}
        delayed[#delayed + 1] = type
      end
      if scores[count + i] and tonumber(scores[count + i]) <= reap_until then
        leased = leased or {}
        leased[#leased + 1] = type
      end
    end
    if delayed or leased then
      -- @include lib/reap.lua
      left = reap_and_promote(delayed or {}, leased or {}, reap_until)
      scores = read_alarms()
    end
  end
end
