-- cancel_task(id, task, reason): cancel one pending or running task. Its own dependents follow as a to-do (carry_on).
-- @include lib/return_probe.lua
-- @include lib/ledger.lua
-- @include lib/signal.lua
-- @include lib/side_write.lua
-- @include lib/side.lua
-- @include lib/cut.lua
-- @include lib/to_do.lua
local function cancel_task(id, task, reason)
  local type, agent, token, running = task[TYPE], task[AGENT], task[TOKEN], task[STATE] == 'leased'
  for name in string.gmatch(side(id, 'W') or '', '%S+') do zrem(prefix .. 'dependents:' .. name, id) end
  drop(id, task, 'W')
  keep(id, task, 'N', cut(reason, 16384))
  task[ENDED] = now
  transition(id, task, 'cancelled', now)
  if running then
    return_probe(type, id, token)
    close_attempt(id, task, 'cancelled', 'cancel', reason)
    signal('CANCEL', {id = id, token = tonumber(token), agent = agent, reason = cut(reason, 200)})
  end
  local key = prefix .. 'dependents:' .. id
  if redis.call('EXISTS', key) == 1 then
    to_do[#to_do + 1] = {kind = 'cancel', parent = id, key = key}
  end
  event('cancelled', id, type, agent, running and token or '', reason)
end
