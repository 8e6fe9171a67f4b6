-- stats: how many tasks are where, the breakers and the switches, at one moment.
--
-- KEYS    the queue's fixed keys that it uses (lua/README.md)
-- ARGV    prefix
-- RETURN  {now, paused or false, slowdown until or false, to-dos, {total, count …}, rows of {type, ready, delayed, blocked,
--         leased, completed, dead, cancelled, 1 when paused}, {type, breaker …}}
-- ERRORS  none
local queue, todo, types, tally, paused, breakers = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local prefix = ARGV[1]
-- @include lib/clock.lua
-- @include lib/schema.lua

local totals, counted, rows = {}, {}, {}
local stored = redis.call('HGETALL', tally)
for at = 1, #stored, 2 do
  local name = string.match(stored[at], '^total:(.*)')
  if not name then
    counted[stored[at]] = stored[at + 1]
  elseif name ~= 'completed' then
    totals[#totals + 1] = name
    totals[#totals + 1] = stored[at + 1]
  end
end
-- @include lib/total_completed.lua
totals[#totals + 1] = 'completed'
totals[#totals + 1] = total_completed()
local function count(place, type)
  return redis.call('ZCARD', prefix .. place .. ':' .. type)
end
for _, type in ipairs(redis.call('HKEYS', types)) do
  rows[#rows + 1] = {
    type, count('ready', type), count('delayed', type), count('blocked', type), count('leased', type),
    counted['completed:' .. type] or 0, counted['dead:' .. type] or 0, counted['cancelled:' .. type] or 0,
    redis.call('HEXISTS', paused, type),
  }
end
for _, type in ipairs(redis.call('HKEYS', paused)) do
  if redis.call('HEXISTS', types, type) == 0 then rows[#rows + 1] = {type, 0, 0, 0, 0, 0, 0, 0, 1} end
end
local slow = tonumber(state.slowdown)
return {
  string.format('%.0f', now), state.paused or false, slow and slow > now and state.slowdown or false,
  redis.call('ZCARD', todo), totals, rows, redis.call('HGETALL', breakers),
}
