-- waits: the ready task that has waited longest, of each priority.
--
-- KEYS    the queue's fixed keys that it uses (lua/README.md)
-- ARGV    prefix
-- RETURN  rows of {priority, id, type, since (ms)}, the highest priority first; of 1,000 task types at most
-- ERRORS  none
local queue, tasks, types = KEYS[1], KEYS[2], KEYS[3]
local prefix = ARGV[1]
-- @include lib/open.lua
-- @include lib/rank.lua

local MOST_SEARCHED = 1000
local oldest, ids = {}, {}
for number, type in ipairs(redis.call('HKEYS', types)) do
  if number > MOST_SEARCHED then break end
  local from = '-inf'
  while from do
    -- The first of each priority has waited longest, but for those that came back later than they were made.
    local first = redis.call('ZRANGEBYSCORE', prefix .. 'ready:' .. type, from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    from = nil
    if first[1] then
      local priority = 10 - math.floor(first[2] / first_rank(9))
      local before = oldest[priority]
      if not before or tonumber(first[2]) < before[1] then oldest[priority] = {tonumber(first[2]), first[1]} end
      if priority > 1 then from = string.format('%d', first_rank(priority - 1)) end
    end
  end
end
for _, entry in pairs(oldest) do ids[#ids + 1] = entry[2] end
load(ids)
local rows = {}
for priority = 10, 1, -1 do
  local task = oldest[priority] and known[oldest[priority][2]]
  if task then
    whole(task)
    local since = math.max(tonumber(task[CREATED]), tonumber(task[AVAILABLE]) or 0)
    rows[#rows + 1] = {priority, oldest[priority][2], task[TYPE], string.format('%d', since)}
  end
end
return rows
