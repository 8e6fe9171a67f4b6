-- remove(id, task): forget a task that has ended. The highest token of removed tasks stays as a floor for new ones:
-- a token is never used twice, not even when the id is (design section 1).
-- @include lib/side_write.lua
-- @include lib/side.lua
-- @include lib/owners.lua
local function remove(id, task)
  whole(task)
  event('removed', id, task[TYPE], '', '', public(task))
  for name in string.gmatch(side(id, 'W') or '', '%S+') do zrem(prefix .. 'dependents:' .. name, id) end
  for letter in string.gmatch(task[FLAGS], '%a') do
    if side_key(letter) then hdel(side_key(letter), id) end
  end
  disown(id, task)
  if task[TOKEN] ~= '' and tonumber(task[TOKEN]) > tonumber(state.floor or 0) then
    state.floor = task[TOKEN]
    hset(queue, 'floor', task[TOKEN])
  end
  transition(id, task, 'removed')
  hdel(tasks, id)
  hdel(documents, id)
  zrem(index, id)
  add(types, task[TYPE], -1)
  known[id], changed[id] = false, nil
end
