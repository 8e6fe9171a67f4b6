-- graph: tasks without their documents, and what depends on what.
--
-- KEYS    the queue's fixed keys that it uses (lua/README.md)
-- ARGV    prefix, way: 'up' along dependencies, 'down' along those that wait, '' for all tasks by sequence; cursor (of '' alone,
--         '' for the start), then the ids to begin with
-- RETURN  {cursor or false, ids that are still to be looked at, rows of {id, type, place, priority, dependencies, names waited
--         for, number of those that wait for it, the first of them (up and '': none)}}; unknown ids are left out. A call stops at
--         500 rows, 5,000 links or about a MiB of names, after one row at least
-- ERRORS  InvalidTask
local queue, tasks, index, dependencies, waiting = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local prefix, way, cursor = ARGV[1], ARGV[2], ARGV[3]
-- @include lib/open.lua
-- @include lib/fetch_slice.lua

-- A task may name a thousand ids of 128 bytes, twice: 500 such rows were 110 MB and half a second.
local ROWS, LINKS, NAMES_READ, MOST_BEGINNINGS = 500, 5000, 1048576, 1000
local SIDES = {'D', 'W'}
if #ARGV - 3 > MOST_BEGINNINGS or not string.find(cursor, '^%d*$') or #cursor > 16 then
  return refuse(refusal('InvalidTask', 'at most 1,000 ids, and a cursor as it was given', {field = 'ids'}))
end
local level, met, rows, links, bytes, following = {}, {}, {}, 0, 0, false
-- before: of those that the cursor led to, the cursor just before them. followed: dependencies that led somewhere already.
local before, followed = {}, {}

local function meet(id)
  if not met[id] then
    met[id] = true
    level[#level + 1] = id
  end
end

for at = 4, #ARGV do meet(ARGV[at]) end
if way == '' then
  local part = redis.call('ZRANGEBYSCORE', index, '(' .. (cursor == '' and '0' or cursor), '+inf', 'WITHSCORES', 'LIMIT', 0, ROWS)
  for i = 1, #part, 2 do
    before[part[i]] = part[i - 1] or (cursor == '' and '0' or cursor)
    meet(part[i])
  end
  following = #part == 2 * ROWS and part[#part]
end
while #level > 0 and #rows < ROWS and links < LINKS and bytes < NAMES_READ do
  -- No more than fits, so that a wide level is cut, too.
  local ids, left = {}, {}
  for i, id in ipairs(level) do
    if i <= ROWS - #rows then ids[#ids + 1] = id else left[#left + 1] = id end
  end
  level = left
  load(ids)
  local read, cut_off = 0, false
  for i, id in ipairs(ids) do
    local task = known[id]
    if task and (links >= LINKS or bytes >= NAMES_READ) then
      -- Where the cursor leads again, the first one says from where on.
      if not before[id] then
        level[#level + 1] = id
      elseif not cut_off then
        following, cut_off = before[id], true
      end
    elseif task then
      if i > read then read = fetch_slice(SIDES, ids, i) end
      whole(task)
      local depends, waits = read_side('D')[id] or '', read_side('W')[id] or ''
      local key, first = prefix .. 'dependents:' .. id, {}
      if way == 'down' then first = redis.call('ZRANGE', key, 0, MOST_BEGINNINGS - 1) end
      local waiting_for_it = table.concat(first, ' ')
      rows[#rows + 1] = {id, task[TYPE], task[STATE], task[PRIORITY], depends, waits, redis.call('ZCARD', key), waiting_for_it}
      links, bytes = links + 1 + #first, bytes + #depends + #waits + #waiting_for_it
      for _, name in ipairs(first) do meet(name) end
      if way == 'up' and task[STATE] ~= 'completed' and task[STATE] ~= 'cancelled' and not followed[depends] then
        followed[depends] = true
        for name in string.gmatch(depends, '%S+') do
          links = links + 1
          meet(name)
        end
      end
    end
  end
end
return {following, level, rows}
