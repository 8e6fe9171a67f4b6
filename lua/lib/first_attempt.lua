-- first_attempt(task): the ledger line of a task that was completed at its first attempt, as most are. It is not stored
-- (lib/ledger.lua): all of it stands in the small fields. nil for any other task.
local function first_attempt(task)
  if task[STATE] ~= 'completed' or task[TOKEN] == '' or task[AGENT] == '' or task[CLAIMED] == '' then return nil end
  whole(task)
  return table.concat({
    task[TOKEN], task[AGENT], task[HOST] ~= '' and task[HOST] or '-', task[CLAIMED], task[ENDED],
    'completed complete completed', task[RETRIES], task[AVAILABLE] ~= '' and task[AVAILABLE] or '-', '',
  }, ' ')
end
