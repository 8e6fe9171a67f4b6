-- graph: tasks without their documents, and what depends on what.
--
-- KEYS    the queue's fixed keys that it uses (lua/README.md)
-- ARGV    prefix, way: 'up' along dependencies, 'down' along those that wait, '' for all tasks by sequence; cursor (of '' alone,
--         '' for the start), then the ids to begin with
-- RETURN  {cursor or false, ids that are still to be looked at, rows of {id, type, place, priority, dependencies, names waited
--         for, number of those that wait for it, the first of them (up and '': none)}}; unknown ids are left out
-- ERRORS  InvalidTask
local queue, tasks, index, dependencies, waiting = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local prefix, way, cursor = ARGV[1], ARGV[2], ARGV[3]
-- @include lib/open.lua
-- @include lib/side.lua

local ROWS, LINKS, MOST_BEGINNINGS = 500, 5000, 1000
if #ARGV - 3 > MOST_BEGINNINGS or not string.find(cursor, '^%d*$') or #cursor > 16 then
  return refuse(refusal('InvalidTask', 'at most 1,000 ids, and a cursor as it was given', {field = 'ids'}))
end
local level, met, rows, links, following = {}, {}, {}, 0, false

local function meet(id)
  if not met[id] then
    met[id] = true
    level[#level + 1] = id
  end
end

for at = 4, #ARGV do meet(ARGV[at]) end
if way == '' then
  local part = redis.call('ZRANGEBYSCORE', index, '(' .. (cursor == '' and '0' or cursor), '+inf', 'WITHSCORES', 'LIMIT', 0, ROWS)
  for i = 1, #part, 2 do meet(part[i]) end
  following = #part == 2 * ROWS and part[#part]
end
while #level > 0 and #rows < ROWS and links < LINKS do
  -- No more than fits, so that a wide level is cut, too.
  local ids, left = {}, {}
  for i, id in ipairs(level) do
    if i <= ROWS - #rows then ids[#ids + 1] = id else left[#left + 1] = id end
  end
  level = left
  load(ids)
  local depends, waits = fetch('D', ids), fetch('W', ids)
  for i, id in ipairs(ids) do
    local task = known[id]
    if task and links >= LINKS then
      level[#level + 1] = id
    elseif task then
      whole(task)
      local key, first = prefix .. 'dependents:' .. id, {}
      if way == 'down' then first = redis.call('ZRANGE', key, 0, MOST_BEGINNINGS - 1) end
      rows[#rows + 1] = {
        id, task[TYPE], task[STATE], task[PRIORITY], depends[id] or '', waits[id] or '', redis.call('ZCARD', key),
        table.concat(first, ' '),
      }
      links = links + 1 + #first
      for _, name in ipairs(first) do meet(name) end
      if way == 'up' and task[STATE] ~= 'completed' and task[STATE] ~= 'cancelled' then
        for name in string.gmatch(depends[id] or '', '%S+') do
          links = links + 1
          meet(name)
        end
      end
    end
  end
end
return {following, level, rows}
