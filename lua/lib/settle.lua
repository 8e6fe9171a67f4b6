-- settle(entry, task, available): a new pending task takes its place.
-- @include lib/side_write.lua
-- @include lib/rank.lua
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

-- wait_on(entry, task): enter it with those that it waits for. Written at once, for once: most of these sets are new, and to
-- gather 10,000 of them first took as long as writing them.
local function wait_on(entry, task)
  local start, sequence, id = prefix .. 'dependents:', task[SEQUENCE], entry.id
  for _, name in ipairs(entry.waits) do redis.call('ZADD', start .. name, sequence, id) end
end

-- A tombstone would count an id that is in use again as completed. Only asked when there are any.
local any_tombstones
local function zrem_tombstone(id)
  if any_tombstones == nil then any_tombstones = redis.call('EXISTS', tombstones) == 1 end
  if any_tombstones then zrem(tombstones, id) end
end
