-- tidy(names): what every claim does first for its types, a bounded number each: expired leases are charged and due
-- delayed tasks become ready (design rule 6). Returns true when some of that work is left over, and the alarms of the types:
-- the first delayed task of names[i] at [i], its first lease at [#names + i].
local GRACE = 60000

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

local function read_alarms(names)
  local asked, count = {}, #names
  for i, type in ipairs(names) do asked[i], asked[count + i] = 'd:' .. type, 'l:' .. type end
  return redis.call('ZMSCORE', alarms, unpack(asked))
end

local function tidy(names)
  local scores, count, delayed, leased = read_alarms(names), #names, nil, nil
  local reaping = may_reap()
  for i, type in ipairs(names) do
    if scores[i] and tonumber(scores[i]) <= now then
      delayed = delayed or {}
      delayed[#delayed + 1] = type
    end
    if reaping and scores[count + i] and tonumber(scores[count + i]) <= now then
      leased = leased or {}
      leased[#leased + 1] = type
    end
  end
  if not delayed and not leased then return false, scores end
  -- @include lib/reap.lua
  return reap_and_promote(delayed or {}, leased or {}), read_alarms(names)
end
