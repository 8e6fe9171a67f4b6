-- announce: note that an agent is alive, and what it does. Forgotten after a day without a word.
--
-- KEYS    the queue's fixed keys that it uses (lua/README.md)
-- ARGV    prefix, agent, host, types (between blanks), tasks (their ids, between blanks), completed ones, failed ones,
--         every (ms until it speaks again; 0: it leaves)
-- RETURN  1
-- ERRORS  InvalidTask
local queue, tasks, tally, agents, seen = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local prefix, agent, host, names, running, done, failed, every = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6],
  ARGV[7], ARGV[8]
-- @include lib/open.lua
-- @include lib/claim_limits.lua

local FORGOTTEN, FORGOTTEN_AT_ONCE, LONGEST = 86400000, 100, 65536

local refused = check_agent(agent, host)
if refused then return refuse(refused) end
if #names + #running > LONGEST or string.find(names .. running, '[\n\r]') then
  return refuse(refusal('InvalidTask', 'types and tasks between blanks, 64 KiB at most', {field = 'types'}))
end
for field, text in pairs({completed = done, failed = failed, every = every}) do
  if not string.find(text, '^%d+$') then return refuse(refusal('InvalidTask', 'a whole number', {field = field})) end
end
if every == '0' then
  zrem(seen, agent)
  hdel(agents, agent)
else
  zadd(seen, stamp, agent)
  hset(agents, agent, table.concat({stamp, every, done, failed, host, names, running}, '\n'))
end
for _, old in ipairs(redis.call('ZRANGEBYSCORE', seen, '-inf', now - FORGOTTEN, 'LIMIT', 0, FORGOTTEN_AT_ONCE)) do
  zrem(seen, old)
  hdel(agents, old)
end
commit()
return 1
