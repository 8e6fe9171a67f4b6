-- settle(entry, task, available): a restored pending task takes its place.
-- @include lib/side_write.lua
-- @include lib/rank.lua
-- @include lib/arrive.lua
local function settle(entry, task, available)
  local depends, waits = entry.depends, entry.waits
  if #depends > 0 then
    local names = ' ' .. table.concat(depends, ' ') .. ' '
    keep(entry.id, task, 'D', names)
    if #waits > 0 then keep(entry.id, task, 'W', #waits == #depends and names or ' ' .. table.concat(waits, ' ') .. ' ') end
  end
  if #waits > 0 then transition(entry.id, task, 'blocked', rank(task))
  elseif available > now then transition(entry.id, task, 'delayed', available)
  else transition(entry.id, task, 'ready', rank(task)) end
end
