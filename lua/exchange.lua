-- exchange: end many claims and take new ones in one round trip. One stale ending doesn't spoil the rest.
--
-- KEYS    the queue's own hash alone: each costs every call 0.1 µs (lua/README.md)
-- ARGV    prefix, agent, host, request, limit (0: none), lease (ms or ''), the types between blanks, then six words per ending:
--         complete, id, token, report, result, '' · fail, id, token, error, 'retry' or 'final', spread ·
--         release, id, token, delay (ms), reason, ''
-- RETURN  {outcomes, claims}: an outcome is as of complete, or {code, data}; claims as of claim. Endings and claims are a
--         thousand together, or a hundred claims where there are more endings
-- ERRORS  InvalidTask as a whole, also for more than 1,000 endings, or 8 MiB of results, errors and reasons
local queue = KEYS[1]
local prefix, agent, host, request, limit, lease, wanted = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
-- @include lib/open.lua
-- @include lib/breaker.lua
-- @include lib/finish.lua
-- @include lib/fail_claim.lua
-- @include lib/release_claim.lua
-- @include lib/forgive.lua
-- @include lib/claim_limits.lua
-- @include lib/request.lua
-- @include lib/remember_claim.lua

local ENDINGS = {complete = finish, fail = fail_claim, release = release_claim}
limit, lease = tonumber(limit), tonumber(lease)
local names, refused
if limit == 0 then
  refused = check_agent(agent, host)
else
  names, refused = types_of(wanted)
  refused = refused or check_claim(agent, host, limit, lease)
end
if refused then return refuse(refused) end
local again = recall(request)

local ids, outcomes, finished, completers, bytes = {}, {}, 0, {}, 0
for at = 8, #ARGV, 6 do
  local kind = ARGV[at]
  if not ENDINGS[kind] then return refuse(refusal('InvalidTask', 'an ending is complete, fail or release', {field = 'finished'})) end
  ids[#ids + 1] = ARGV[at + 1]
  bytes = bytes + #ARGV[kind == 'fail' and at + 3 or at + 4]
end
if #ids > 1000 then return refuse(refusal('InvalidTask', 'one call takes at most 1,000 endings', {field = 'finished'})) end
do
  -- Eight results of 1 MiB take 30 ms.
  -- @include lib/check_bytes.lua
  refused = check_bytes(bytes, 'finished')
  if refused then return refuse(refused) end
end
-- A thousand endings and as many claims took 44 to 70 ms, where a call may take 50 (design rule 16).
if limit > 0 then limit = math.min(limit, math.max(1000 - #ids, 100)) end
if #ids > 0 then
  load(ids)
  -- @include lib/fetch_near.lua
  fetch_near('A', ids)
  -- Where no task waits for any other, nor a dead letter for its canary, none has dependents.
  any_dependents = redis.call('EXISTS', waiting, canaries) > 0
  if any_dependents then
    local keys = {}
    for i, id in ipairs(ids) do keys[i] = prefix .. 'dependents:' .. id end
    any_dependents = redis.call('EXISTS', unpack(keys)) > 0
  end
end
do
  local keys, asked = {todo, paused, breakers, prefix .. 'hold:' .. agent}, {}
  for _, id in ipairs(ids) do
    local by = known[id] and known[id][AGENT]
    if by and not asked[by] then
      asked[by] = true
      keys[#keys + 1] = prefix .. 'hold:' .. by
    end
  end
  look_for(unpack(keys))
end
for at = 8, #ARGV, 6 do
  local outcome, wrong, by = ENDINGS[ARGV[at]](ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5])
  outcomes[#outcomes + 1] = outcome or wrong
  if by then
    finished = finished + 1
    completers[by] = true
  end
end
for by in pairs(completers) do forgive(by) end
commit()
-- @include lib/retention.lua

local claims = {}
if again then
  -- @include lib/carry_on.lua
  -- @include lib/recall_claim.lua
  claims = recalled_rows(again)
elseif limit > 0 then
  -- @include lib/take.lua
  claims = rows
  if rows[1] then remember_claim(request, rows) end
else
  -- @include lib/carry_on.lua
end
-- @include lib/conclude.lua
return {outcomes, claims}
