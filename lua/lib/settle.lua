-- settle(entry, task, available): a new pending task takes its place.
-- @include lib/side_write.lua
-- @include lib/rank.lua
local function settle(entry, task, available)
  if #entry.depends > 0 then keep(entry.id, task, 'D', ' ' .. table.concat(entry.depends, ' ') .. ' ') end
  if #entry.waits > 0 then
    keep(entry.id, task, 'W', ' ' .. table.concat(entry.waits, ' ') .. ' ')
    transition(entry.id, task, 'blocked', rank(task))
  elseif available > now then transition(entry.id, task, 'delayed', available)
  else transition(entry.id, task, 'ready', rank(task)) end
end

-- wait_on(entry, task): enter it with those that it waits for. After all of a batch are known: the order in it is free.
local function wait_on(entry, task)
  for _, id in ipairs(entry.waits) do
    zadd(prefix .. 'dependents:' .. id, task[SEQUENCE], entry.id)
    raise(id, known[id], 'P')
  end
end

-- A tombstone would count an id that is in use again as completed. Only asked when there are any.
local any_tombstones
local function zrem_tombstone(id)
  if any_tombstones == nil then any_tombstones = redis.call('EXISTS', tombstones) == 1 end
  if any_tombstones then zrem(tombstones, id) end
end
