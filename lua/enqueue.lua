-- enqueue: store new tasks, all of them or none.
--
-- KEYS    the queue's fixed keys that it uses (lua/README.md)
-- ARGV    prefix, request, mode ('check' stores nothing, else ''), then per task: id, type, priority, timeout (ms), maxRetries,
--         backoff (ms), availableAt (ms or ''),
--         delay (ms or ''), digest of the idempotency key or '', bytes of the payload, document, number of dependencies, these
-- RETURN  per task {id, 1 when it was created, state}
-- ERRORS  InvalidTask, TaskExists, UnknownDependency, DependencyCycle: each names the index in the batch
local queue, settings, tasks, documents, index, unique, tombstones, alarms, types, tally, dependencies, waiting,
  attempts, errors, results, checkpoints, progress, reasons, escalations, events, signals = KEYS[1], KEYS[2], KEYS[3],
  KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11], KEYS[12], KEYS[13], KEYS[14], KEYS[15],
  KEYS[16], KEYS[17], KEYS[18], KEYS[19], KEYS[20], KEYS[21]
local prefix, request, mode = ARGV[1], ARGV[2], ARGV[3]
-- @include lib/open.lua
-- @include lib/setting.lua
-- @include lib/limits.lua
-- @include lib/settle.lua

if string.find(request, '%s') then return refuse(refusal('InvalidTask', 'no blanks', {field = 'request'})) end
local WORDS = 12
-- A task without dependencies, as most are, needs no table of its own for them.
local NONE = {}
local batch, ids, digests, total_dependencies, total_bytes = {}, {}, {}, 0, 0

settings_of('payload_bytes', 'document_bytes')
local at = 4
while at <= #ARGV do
  local entry = {
    at = #batch, id = ARGV[at], type = ARGV[at + 1], priority = ARGV[at + 2], timeout = ARGV[at + 3],
    max_retries = ARGV[at + 4], base = ARGV[at + 5], available = ARGV[at + 6], delay = ARGV[at + 7], digest = ARGV[at + 8],
    payload_bytes = ARGV[at + 9], document = ARGV[at + 10], names = NONE, depends = NONE, waits = NONE,
  }
  local count = tonumber(ARGV[at + 11]) or 0
  if count > 0 then
    entry.names = {}
    for i = 1, count do entry.names[i] = ARGV[at + WORDS + i - 1] end
  end
  at = at + WORDS + count
  local refused = check_new(entry)
  if refused then return refuse(refused) end
  batch[#batch + 1], ids[#batch + 1] = entry, entry.id
  digests[#digests + 1] = entry.digest
  total_dependencies, total_bytes = total_dependencies + count, total_bytes + #entry.document
end
if #batch == 0 then return {} end
do
  local refused = check_batch(#batch, total_dependencies, total_bytes)
  if refused then return refuse(refused) end
end

-- An equal task that is waiting, running or done is returned instead of a second one (design rule 12).
local BLOCKS = {ready = true, delayed = true, blocked = true, leased = true, completed = true}
load(ids)
local owners, by_id, by_digest = redis.call('HMGET', unique, unpack(digests)), {}, {}
do
  local found = {}
  for i, owner in ipairs(owners) do
    if owner and batch[i].digest ~= '' then found[#found + 1] = owner end
  end
  load(found)
end

local function equal_of(entry, owner)
  if entry.digest == '' then return nil end
  if owner and known[owner] and BLOCKS[known[owner][STATE]] then return owner end
  return by_digest[entry.digest]
end

local fresh = {}
for i, entry in ipairs(batch) do
  local stored, earlier = known[entry.id], by_id[entry.id]
  if stored then whole(stored) end
  if stored and stored[NONCE] == request and request ~= '' and not earlier then
    entry.same, entry.created = entry.id, 1
    if entry.digest ~= '' then by_digest[entry.digest] = entry.id end
  elseif stored or earlier then
    local digest = stored and stored[DIGEST] or earlier.digest
    if digest ~= entry.digest or digest == '' or (stored and not BLOCKS[stored[STATE]]) then
      return refuse(refusal('TaskExists', 'there is a task ' .. entry.id .. ' already',
        {index = entry.at, id = entry.id, state = stored and public(stored) or 'pending'}))
    end
    -- The earlier one of the batch may itself be a duplicate of another task.
    entry.same, entry.created = earlier and earlier.same or entry.id, 0
  else
    entry.same, entry.created = equal_of(entry, owners[i]), 0
    if not entry.same then
      entry.created = 1
      fresh[#fresh + 1] = entry
      if entry.digest ~= '' then by_digest[entry.digest] = entry.id end
    end
  end
  if not earlier then by_id[entry.id] = entry end
end

if total_dependencies > 0 then
  -- @include lib/depend.lua
  local refused = depend(fresh, by_id, false)
  if refused then return refuse(refused) end
end
do
  local refused = check_types(fresh)
  if refused then return refuse(refused) end
end

if mode == 'check' then return {} end
local sequence = tonumber(state.sequence) or 0
if #fresh == 1 then direct = true end
for _, entry in ipairs(fresh) do
  sequence = sequence + 1
  local place = string.format('%d', sequence)
  local available = tonumber(entry.available) or 0
  if entry.delay ~= '' then available = math.max(available, now + entry.delay) end
  local task = {
    'new', entry.type, entry.timeout, '', '', '', '', '', '', '', '0', '', #entry.document, '0',
    entry.priority, place, entry.max_retries, entry.base, entry.base, stamp, available > 0 and available or '', entry.digest, request,
  }
  known[entry.id] = task
  hset(documents, entry.id, entry.document)
  zadd(index, place, entry.id)
  zrem_tombstone(entry.id)
  if entry.digest ~= '' then hset(unique, entry.digest, entry.id) end
  add(types, entry.type, 1)
  settle(entry, task, available)
  event('enqueued', entry.id, entry.type)
end
if #fresh > 0 then hset(queue, 'sequence', known[fresh[#fresh].id][SEQUENCE]) end
for _, entry in ipairs(fresh) do wait_on(entry, known[entry.id]) end
-- @include lib/conclude.lua

local reply = {}
for i, entry in ipairs(batch) do
  local id = entry.same or entry.id
  -- What this request created was pending then, also when this is a repeated call and the task has gone on since.
  whole(known[id])
  local own = entry.created == 1 or (request ~= '' and known[id][NONCE] == request)
  reply[i] = {id, entry.created, own and 'pending' or public(known[id])}
end
return reply
