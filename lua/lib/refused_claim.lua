-- refused_claim(): why nothing is given, and the ms until time alone can change that (design rule 3):
-- {false, reason, ms}, ms false when it can't.
-- @include lib/reset_alarm.lua
-- @include lib/read_alarms.lua
-- @include lib/breaker_due.lua
local function earliest(a, b)
  if not a then return b end
  if not b then return a end
  return math.min(a, b)
end

-- probe_ends(type): when the lease of a half-open breaker's probe ends. Until then time changes nothing for this type: what
-- falls due would only be asked for, and refused again.
local function probe_ends(type)
  local words = gates[type] == 'breaker' and breaker(type)
  if not words or words[B_STATE] ~= 'half-open' then return nil end
  return tonumber(redis.call('ZMSCORE', index_key('leased', type), words[PROBE])[1] or now)
end

-- opens_at(type): from when a type lets a task through, nil when time alone won't do it.
local function opens_at(type)
  if gates[type] == 'paused' then return nil end
  local words = breaker(type)
  if gates[type] == 'breaker' and words[B_STATE] == 'open' then return breaker_due(type, words) end
  return now
end

-- next_change(names): the earliest due task, lease end or breaker of these types.
local function next_change(names, scores, ready)
  local first
  for i, type in ipairs(names) do
    local opens, probe = opens_at(type), probe_ends(type)
    if probe then
      first = earliest(first, math.max(probe, tonumber(state.grace) or 0))
    elseif opens then
      local due_at = scores[i] and reset_alarm('d', type)
      local lost_at = scores[#names + i] and reset_alarm('l', type)
      if lost_at then lost_at = math.max(lost_at, tonumber(state.grace) or 0) end
      local at = earliest(due_at, lost_at)
      if at then first = earliest(first, math.max(at, opens)) end
      if ready[type] then first = earliest(first, opens > now and opens or nil) end
    end
  end
  return first
end

-- what_waits(names): 'delayed' when there is such a task, else 'blocked', else 'empty'; most often nothing is there at all.
local function what_waits(names)
  local asked, count = {}, #names
  for i, type in ipairs(names) do asked[i], asked[count + i] = index_key('delayed', type), index_key('blocked', type) end
  if redis.call('EXISTS', unpack(asked)) == 0 then return 'empty' end
  return redis.call('EXISTS', unpack(asked, 1, count)) > 0 and 'delayed' or 'blocked'
end

local function refused_claim()
  if not all_done then left = true end
  if due_rung or leases_rung then
    -- @include lib/set_alarms.lua
    set_alarms()
    scores = nil
  end
  scores = scores or read_alarms()
  local stopped, best, ready = nil, nil, {}
  -- What has no gate has no ready task either: choose has just looked.
  for type, gate in pairs(gates) do
    local first = redis.call('ZRANGE', index_key('ready', type), '0', '0', 'WITHSCORES')
    if first[1] then
      ready[type] = true
      if not best or tonumber(first[2]) < best then best, stopped = tonumber(first[2]), gate end
    end
  end
  local reason = stopped or what_waits(names)
  local at = left and now or next_change(names, scores, ready)
  return {false, reason, at and math.max(at - now, 0) or false}
end
