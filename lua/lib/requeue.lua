-- requeue(id, task, available): back to pending, where it keeps its place; available is the time before which nobody gets it.
-- @include lib/side_write.lua
-- @include lib/rank.lua
local function requeue(id, task, available)
  whole(task)
  available = available > now and string.format('%d', available) or ''
  task[AVAILABLE], task[ENDED] = available, ''
  if has(task, 'I') then
    lower(id, task, 'I')
    drop(id, task, 'R')
  end
  if has(task, 'W') then transition(id, task, 'blocked', rank(task))
  elseif available ~= '' then transition(id, task, 'delayed', available)
  else transition(id, task, 'ready', rank(task)) end
end
