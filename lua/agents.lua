-- agents: who works for this queue: those that announce themselves, and whoever holds a claim.
--
-- KEYS    the queue's fixed keys that it uses (lua/README.md)
-- ARGV    prefix
-- RETURN  {now, rows of {agent, announcement (lua/announce.lua) or false, held until or false}, rows of {agent, host, id,
--         type, claimedAt, deadline} per running task}; at most 1,000 of each, those heard of last
-- ERRORS  none
local queue, tasks, types, tally, agents, seen = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local prefix = ARGV[1]
-- @include lib/open.lua

local MOST_ROWS = 1000
local claims, rows, names, known_agents = {}, {}, {}, {}
for _, type in ipairs(redis.call('HKEYS', types)) do
  if #claims == MOST_ROWS then break end
  local found, ids = redis.call('ZRANGE', prefix .. 'leased:' .. type, 0, MOST_ROWS - #claims - 1, 'WITHSCORES'), {}
  for at = 1, #found, 2 do ids[#ids + 1] = found[at] end
  load(ids)
  for i, id in ipairs(ids) do
    local task = known[id]
    claims[#claims + 1] = {task[AGENT], task[HOST], id, type, task[CLAIMED], found[2 * i]}
  end
end
for _, agent in ipairs(redis.call('ZRANGE', seen, -MOST_ROWS, -1)) do
  names[#names + 1], known_agents[agent] = agent, true
end
local announced = #names > 0 and redis.call('HMGET', agents, unpack(names)) or {}
for _, claim in ipairs(claims) do
  if not known_agents[claim[1]] then
    names[#names + 1], known_agents[claim[1]] = claim[1], true
  end
end
if #names > 0 then
  local keys = {}
  for i, agent in ipairs(names) do keys[i] = prefix .. 'hold:' .. agent end
  local holds = redis.call('MGET', unpack(keys))
  for i, agent in ipairs(names) do
    local ends = holds[i] and string.match(holds[i], '%d+')
    rows[i] = {agent, announced[i] or false, ends and tonumber(ends) > now and ends or false}
  end
end
return {string.format('%d', now), rows, claims}
