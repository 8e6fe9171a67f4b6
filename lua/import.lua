-- import: restore tasks in any state, all of them or none; an id that is there already is left as it is.
--
-- KEYS    the queue's fixed keys that it uses (lua/README.md)
-- ARGV    prefix, 'lenient' to take an unknown dependency for one completed long ago, then per task: id, type, priority,
--         timeout (ms), maxRetries, backoff (ms), state, retries, current backoff (ms), createdAt, availableAt, endedAt,
--         token, agent, host, claimedAt, lease (ms), deadline, sequence, digest, document, error, result, 'incomplete' or '',
--         checkpoint, progress, attempts (lines of the ledger), reason, escalation, number of dependencies, these
--         (times in ms; '' for none)
-- RETURN  per task {id, 1 when it was stored, state}
-- ERRORS  InvalidTask, UnknownDependency, DependencyCycle: each names the index in the batch
local queue, settings, tasks, documents, index, unique, tombstones, alarms, types, tally, dependencies, waiting,
  attempts, errors, results, checkpoints, progress, reasons, escalations, events, signals = KEYS[1], KEYS[2], KEYS[3],
  KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11], KEYS[12], KEYS[13], KEYS[14], KEYS[15],
  KEYS[16], KEYS[17], KEYS[18], KEYS[19], KEYS[20], KEYS[21]
local prefix, lenient = ARGV[1], ARGV[2]
-- @include lib/open.lua
-- @include lib/limits.lua
-- @include lib/depend.lua
-- @include lib/settle.lua
-- @include lib/restore.lua

local batch, ids, fresh, by_id, total_dependencies, total_bytes = {}, {}, {}, {}, 0, 0
local at = 3
while at <= #ARGV do
  local entry
  entry, at = read_entry(at, #batch)
  local refused = check_restored(entry)
  if refused then return refuse(refused) end
  batch[#batch + 1], ids[#batch + 1] = entry, entry.id
  total_dependencies, total_bytes = total_dependencies + #entry.names, total_bytes + #entry.document
end
if #batch == 0 then return {} end
do
  local refused = check_batch(#batch, total_dependencies, total_bytes)
  if refused then return refuse(refused) end
end
load(ids)
for _, entry in ipairs(batch) do
  if known[entry.id] or by_id[entry.id] then
    entry.same, entry.created = entry.id, 0
  else
    entry.created = 1
    fresh[#fresh + 1] = entry
  end
  if not by_id[entry.id] then by_id[entry.id] = entry end
end
do
  local refused = depend(fresh, by_id, lenient == 'lenient') or check_types(fresh)
  if refused then return refuse(refused) end
end
for _, entry in ipairs(fresh) do restore(entry) end
for _, entry in ipairs(fresh) do wait_on(entry, known[entry.id][SEQUENCE]) end
-- @include lib/conclude.lua

local reply = {}
for i, entry in ipairs(batch) do reply[i] = {entry.id, entry.created, public(known[entry.id])} end
return reply
