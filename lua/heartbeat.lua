-- heartbeat: renew claims, and store what the agent wants to keep.
--
-- KEYS    the queue's fixed keys that it uses (lua/README.md)
-- ARGV    prefix, then per claim: id, token, checkpoint or '', progress or ''
-- RETURN  per claim {'renewed', deadline (ms)}, {'cancelled'}, or {error code, its data}
-- ERRORS  InvalidTask as a whole: more than 1,000 claims, or of several claims more than 8 MiB of checkpoints and progress
local queue, settings, tasks, alarms, tally, dependencies, waiting, attempts, errors, results, checkpoints, progress,
  reasons, escalations, events, signals = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8],
  KEYS[9], KEYS[10], KEYS[11], KEYS[12], KEYS[13], KEYS[14], KEYS[15], KEYS[16]
local prefix = ARGV[1]
-- @include lib/open.lua
-- @include lib/setting.lua
-- @include lib/side_write.lua
-- @include lib/claimed.lua
-- @include lib/check_bytes.lua

-- Was it the cancel that ended this claim? Only a cancelled task that was running keeps its agent.
local function cancelled_under(id, token)
  local task = known[id]
  return task and task[STATE] == 'cancelled' and task[TOKEN] == token and task[AGENT] ~= ''
end

local function renewed(id, task, deadline)
  local limit = tonumber(task[LIMIT])
  local until_when = math.min(now + task[LEASE], limit)
  if now >= limit or until_when <= deadline then return deadline end
  zadd(prefix .. 'leased:' .. task[TYPE], until_when, id)
  return until_when
end

local function beat(id, token, checkpoint, note)
  local task, refused = claimed(id, token)
  if not task then
    if cancelled_under(id, token) then return {'cancelled'} end
    return refused
  end
  local most = setting('checkpoint_bytes')
  if #checkpoint > most or #note > most then
    local field = #checkpoint > most and 'checkpoint' or 'progress'
    return refusal('InvalidTask', 'at most ' .. most .. ' bytes', {id = id, field = field})
  end
  if checkpoint ~= '' then keep(id, task, 'C', checkpoint) end
  if note ~= '' then keep(id, task, 'G', note) end
  local deadline = tonumber(redis.call('ZSCORE', prefix .. 'leased:' .. task[TYPE], id))
  return {'renewed', string.format('%.0f', renewed(id, task, deadline))}
end

local ids, reply, bytes = {}, {}, 0
for at = 2, #ARGV, 4 do
  ids[#ids + 1] = ARGV[at]
  bytes = bytes + #ARGV[at + 2] + #ARGV[at + 3]
end
if #ids > 1000 then return refuse(refusal('InvalidTask', 'one call takes at most 1,000 claims', {field = 'claims'})) end
-- A single one may have both as long as the setting allows, each with an error of its own.
if #ids > 1 then
  local refused = check_bytes(bytes, 'claims')
  if refused then return refuse(refused) end
end
load(ids)
for at = 2, #ARGV, 4 do reply[#reply + 1] = beat(ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]) end
-- @include lib/conclude.lua
return reply
