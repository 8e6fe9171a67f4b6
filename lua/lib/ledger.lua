-- The ledger of a task: a line per ended claim, newest last, 20 kept:
--   token agent host claimedAt endedAt outcome operation state retries availableAt error
-- Only a task that was completed at its first attempt has none stored (lib/first_attempt.lua).
-- The last words but one are the answer that the ending got: an ending whose reply was lost gets it again (design rule 9).
-- @include lib/side_write.lua
-- @include lib/side.lua
-- @include lib/cut.lua
local ATTEMPTS_KEPT, ATTEMPT_ERROR_BYTES = 20, 1024

-- newest(history): what is left of a ledger beside one more line. Not by a pattern, which goes letter by letter: of a full
-- one with errors of 1 KiB that took 0.2 ms.
local function newest(history)
  local count, second = 1, nil
  local at = string.find(history, '\n', 1, true)
  while at do
    count, second = count + 1, second or at + 1
    at = string.find(history, '\n', at + 1, true)
  end
  return count < ATTEMPTS_KEPT and history or string.sub(history, second)
end

-- close_attempt(...): note how the claim ended, then clear it from the task. To be called when the task's new state is set.
local function close_attempt(id, task, outcome, operation, text)
  whole(task)
  if text ~= '' then
    text = cut(text, ATTEMPT_ERROR_BYTES)
    -- Plain searches: a pattern, which goes letter by letter, took a tenth of what it costs to end a failed attempt.
    if string.find(text, '\n', 1, true) or string.find(text, '\r', 1, true) or string.find(text, '\\', 1, true) then
      text = string.gsub(text, '[\n\r\\]', {['\n'] = '\\n', ['\r'] = '\\r', ['\\'] = '\\\\'})
    end
  end
  local line = table.concat({
    task[TOKEN], task[AGENT], task[HOST] ~= '' and task[HOST] or '-', task[CLAIMED], stamp, outcome, operation,
    public(task), task[RETRIES], task[AVAILABLE] ~= '' and task[AVAILABLE] or '-', text,
  }, ' ')
  local history = has(task, 'A') and side(id, 'A')
  if history then line = newest(history) .. '\n' .. line end
  keep(id, task, 'A', line)
  if task[STATE] ~= 'completed' and task[STATE] ~= 'cancelled' then
    task[AGENT], task[HOST], task[CLAIMED] = '', '', ''
  end
  task[LEASE], task[LIMIT] = '', ''
end
