-- take(agent, host, names, limit, lease): what claim and exchange share. Returns rows of {token, deadline, lease, record …},
-- or {false, reason, ms}.
-- @include lib/breaker.lua
-- @include lib/tidy.lua
-- @include lib/carry_on.lua
-- @include lib/hold_of.lua
-- @include lib/choose.lua
-- @include lib/grant.lua
-- @include lib/record.lua
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

-- pass_on(names, cursors, scores, short): a mark for each type that still has work, or soon will: this call may have eaten it.
local function pass_on(names, cursors, scores, short)
  for i, type in ipairs(names) do
    local words = breaker(type)
    local soon = scores[i] and tonumber(scores[i]) <= now + SOON
    if words and words[B_STATE] == 'open' and breaker_due(type, words) <= now + SOON then soon = true end
    marked[type] = soon or nil
  end
  for _, cursor in ipairs(cursors) do
    if not cursor.probe and (short or cursor.more or cursor.found[cursor.at]) then mark(cursor.type) end
  end
end

local function take(agent, host, names, limit, lease)
  if rung then set_alarms() end
  local left, scores = tidy(names)
  if not carry_on() then left = true end
  if rung then
    set_alarms()
    scores = read_alarms(names)
  end
  local stopped = gate_of_queue(agent)
  if stopped then return stopped end
  local ids, cursors = choose(names, limit)
  if #ids == 0 then
    -- @include lib/refused_claim.lua
    return refused_claim(names, left, scores)
  end
  local granted, deadlines = grant(ids, agent, host, lease)
  pass_on(names, cursors, scores, #granted < #ids)
  local rows = records(granted, deadlines)
  for _, row in ipairs(rows) do row[14], row[15] = known[row[1]][TOKEN], known[row[1]][LEASE] end
  return rows
end
