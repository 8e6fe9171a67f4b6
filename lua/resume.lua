-- resume: hand out tasks again, of the whole queue or of one type; or lift the hold of one agent.
--
-- KEYS    the queue's fixed keys that it uses (lua/README.md)
-- ARGV    prefix, request, type ('' for the queue), agent ('' for none)
-- RETURN  1 when it was paused or held
-- ERRORS  InvalidTask
local queue, tasks, alarms, types, tally, paused, events, signals = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5],
  KEYS[6], KEYS[7], KEYS[8]
local prefix, request, type, agent = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
-- @include lib/open.lua
-- @include lib/claim_limits.lua
-- @include lib/hold.lua
-- @include lib/hold_of.lua
-- @include lib/signal.lua
-- @include lib/mark_all.lua
-- @include lib/request.lua

local again = recall(request)
if again then return tonumber(again) end
if agent ~= '' then
  local refused = check_agent(agent)
  if refused then return refuse(refused) end
  local ends, in_a_row = hold_of(agent)
  local was = ends > now and 1 or 0
  if was == 1 then
    -- The rate limits in a row go on counting: only a completed task shows that the limit is over (design rule 15).
    hold(agent, now, in_a_row)
    event('resumed', '', '', agent)
  end
  remember(request, was == 1 and '1' or '0')
  -- @include lib/conclude.lua
  return was
end
local key, field = queue, 'paused'
if type ~= '' then key, field = paused, type end
-- Also this answer is remembered: a repeated call must not act on what others have changed since (design rule 9).
if redis.call('HEXISTS', key, field) == 0 then
  remember(request, '0')
  return 0
end
hdel(key, field)
event('resumed', '', type)
signal('RESUME', {type = type ~= '' and type or nil})
if type ~= '' then mark(type) else mark_all() end
remember(request, '1')
-- @include lib/conclude.lua
return 1
