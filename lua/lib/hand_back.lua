-- hand_back(...): pending again without a charge. From the third time in a row it waits min(2^n, 60) s, so that
-- an agent that hands every task back can't spin (design rule 10).
-- @include lib/return_probe.lua
-- @include lib/ledger.lua
-- @include lib/requeue.lua
local FREE_HANDBACKS, LONGEST_HANDBACK = 2, 60

local function hand_back(id, task, operation, delay, text)
  local type, agent, token = task[TYPE], task[AGENT], task[TOKEN]
  local count = task[HANDBACKS] + 1
  task[HANDBACKS] = count
  if count > FREE_HANDBACKS then delay = math.max(delay, math.min(2 ^ count, LONGEST_HANDBACK) * 1000) end
  requeue(id, task, now + delay)
  return_probe(type, id, token)
  close_attempt(id, task, 'released', operation, text)
  event('released', id, type, agent, token, text)
end
