-- charge(...): an attempt that failed or was lost. One retry less; with none left the task is a dead letter.
-- @include lib/breaker_failure.lua
-- @include lib/ledger.lua
-- @include lib/requeue.lua
-- @include lib/backoff.lua
-- @include lib/side_write.lua
-- @include lib/cut.lua
local LAST_ERROR_BYTES = 16384

local function charge(id, task, outcome, operation, text, retry, spread)
  whole(task)
  local type, agent, token = task[TYPE], task[AGENT], task[TOKEN]
  text = cut(text, LAST_ERROR_BYTES)
  local retries = task[RETRIES] + 1
  -- As words: Lua would write each of these numbers anew wherever it stands, the slow way (lib/task.lua).
  task[RETRIES], task[HANDBACKS] = string.format('%d', retries), '0'
  keep(id, task, 'E', text)
  local died = not retry or retries >= tonumber(task[MAX_RETRIES])
  if died then
    task[ENDED], task[AVAILABLE] = stamp, ''
    transition(id, task, 'dead', stamp)
    add(tally, 'total:dead', 1)
  elseif outcome == 'failed' then
    task[BACKOFF] = backoff(task, spread)
    requeue(id, task, now + task[BACKOFF])
  else
    requeue(id, task, 0)
  end
  add(tally, 'total:failed', 1)
  breaker_failure(type, id, token, died)
  close_attempt(id, task, outcome, operation, text)
  event(outcome, id, type, agent, token, text)
  if died then event('dead', id, type, agent, token, text) end
end
