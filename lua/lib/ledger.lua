-- The ledger of a task: a line per ended claim, newest last, 20 kept:
--   token agent host claimedAt endedAt outcome operation state retries availableAt error
-- The last words but one are the answer that the ending got: an ending whose reply was lost gets it again (design rule 9).
local close_attempt, recall_ending
do
  local ATTEMPTS_KEPT, ATTEMPT_ERROR_BYTES = 20, 1024
  local ESCAPES = {['\n'] = '\\n', ['\r'] = '\\r', ['\\'] = '\\\\'}

  -- close_attempt(...): note how the claim ended, then clear it from the task. To be called when the task's new state is set.
  function close_attempt(id, task, outcome, operation, text)
    local line = table.concat({
      task[TOKEN], task[AGENT], word(task[HOST]), task[CLAIMED], now, outcome, operation,
      public(task), task[RETRIES], word(task[AVAILABLE]), (string.gsub(cut(text or '', ATTEMPT_ERROR_BYTES), '[\n\r\\]', ESCAPES)),
    }, ' ')
    local history = side(id, 'A')
    if history then
      local _, count = string.gsub(history, '\n', '\n')
      if count >= ATTEMPTS_KEPT - 1 then history = string.match(history, '\n(.*)') end
      line = history .. '\n' .. line
    end
    keep(id, task, 'A', line)
    if task[STATE] ~= 'completed' and task[STATE] ~= 'cancelled' then
      task[AGENT], task[HOST], task[CLAIMED] = '', '', ''
    end
    task[LEASE], task[LIMIT] = '', ''
  end

  -- recall_ending(id, token, operation): the answer that this ending got before, or nil.
  function recall_ending(id, token, operation)
    local history = side(id, 'A')
    if not history then return nil end
    for line in string.gmatch(history, '[^\n]+') do
      local words = {string.match(line, '^(%S+) %S+ %S+ %S+ %S+ %S+ (%S+) (%S+) (%S+) (%S+)')}
      if words[1] == token and words[2] == operation then
        return {words[3], words[4], words[5] ~= '-' and words[5] or ''}
      end
    end
  end
end
