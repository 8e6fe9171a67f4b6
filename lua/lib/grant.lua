-- grant(ids, agent, host, lease): lease these ready tasks to the agent; at most 8 MiB of them, the rest stays ready.
-- Returns the ids that were granted and their deadlines.
local REPLY_BYTES = 8388608

-- next_token(task): grows with every claim, also over a lost write or a reused id, since the clock has gone on by then.
local function next_token(task)
  return math.max((tonumber(task[TOKEN]) or 0) + 1, (tonumber(state.floor) or 0) + 1, now)
end

local function become_probe(type, id, task)
  -- @include lib/breaker_change.lua
  local words = breaker(type)
  words[HALF_OPENED], words[PROBE], words[PROBE_TOKEN] = now, id, task[TOKEN]
  change_breaker(type, words, 'half-open')
end

local function grant(ids, agent, host, lease)
  local granted, deadlines, bytes = {}, {}, 0
  load(ids)
  for _, id in ipairs(ids) do
    local task = known[id]
    bytes = bytes + task[BYTES]
    if bytes > REPLY_BYTES and #granted > 0 then break end
    local type, timeout = task[TYPE], tonumber(task[TIMEOUT])
    local length = lease and math.min(lease, timeout) or timeout
    task[TOKEN] = string.format('%.0f', next_token(task))
    task[AGENT], task[HOST], task[CLAIMED] = agent, host, now
    task[LEASE], task[LIMIT] = length, now + timeout
    transition(id, task, 'leased', now + length)
    if gates[type] == 'probe' then become_probe(type, id, task) end
    event('claimed', id, type, agent, task[TOKEN])
    granted[#granted + 1], deadlines[id] = id, now + length
  end
  return granted, deadlines
end
