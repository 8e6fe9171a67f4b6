-- explain_agent: why an agent gets no work, or which task it gets next. The claim itself answers: it is tried, and nothing of
-- it is kept.
--
-- KEYS    the queue's fixed keys that it uses (lua/README.md)
-- ARGV    prefix, agent, types (between blanks; '' for those that it announced)
-- RETURN  {now, its announcement (lua/announce.lua) or false, held until or false, paused or false, slowdown until or false,
--         what its claim gets: {id} or {false, reason, ms or false}, per type {gate (lib/gate_of.lua), ready, delayed,
--         blocked, leased}}
-- ERRORS  InvalidTask
local queue, settings, tasks, documents, todo, alarms, tally, paused, breakers, dependencies, waiting, attempts,
  errors, results, checkpoints, progress, reasons, escalations, agents = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5],
  KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11], KEYS[12], KEYS[13], KEYS[14], KEYS[15], KEYS[16], KEYS[17],
  KEYS[18], KEYS[19]
local prefix, agent, wanted = ARGV[1], ARGV[2], ARGV[3]
-- @include lib/trial.lua
-- @calls trial
-- @include lib/open.lua
-- @include lib/breaker.lua
-- @include lib/claim_limits.lua
-- @include lib/hold_of.lua
-- @include lib/gate_of.lua

local refused = check_agent(agent)
if refused then return refuse(refused) end
local said = redis.call('HGET', agents, agent) or false
if wanted == '' and said then wanted = string.match(said, '^%d+\n%d+\n%d+\n%d+\n[^\n]*\n([^\n]*)') end
local names, MOST_OF_AGENT = {}, 100
for type in string.gmatch(wanted, '%S+') do
  if #names < MOST_OF_AGENT then names[#names + 1] = type end
end
if #names == 0 then
  return refuse(refusal('InvalidTask', agent .. ' has not announced itself: name the types that it asks for', {field = 'types'}))
end
local found = {}
for i, type in ipairs(names) do
  found[i] = {gate_of(type)}
  for _, place in ipairs({'ready', 'delayed', 'blocked', 'leased'}) do
    found[i][#found[i] + 1] = redis.call('ZCARD', prefix .. place .. ':' .. type)
  end
end
local held_until = hold_of(agent)
local host, limit, lease = '', 1, nil
-- @include lib/take.lua
return {
  string.format('%.0f', now), said, held_until > now and string.format('%.0f', held_until), state.paused or false,
  state.slowdown or false, rows[1] and {rows[1][1]} or rows, found,
}
