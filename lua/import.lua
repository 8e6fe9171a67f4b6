-- import: restore tasks in any state, all of them or none; an id that is there already is left as it is.
--
-- KEYS    the queue's fixed keys that it uses (lua/README.md)
-- ARGV    prefix, request ('' for none), 'check' to store nothing, the queue's last sequence before the first call of this
--         import ('' for now), then per task: id, type, priority, timeout (ms), maxRetries, backoff (ms), state, retries, current backoff (ms), createdAt,
--         availableAt, endedAt, token, agent, host, claimedAt, lease (ms), deadline, sequence, digest, document, error,
--         result, 'incomplete' or '', checkpoint, progress, attempts (lines of the ledger), reason, escalation, letters
--         (lib/side.lua) of those that are there and empty, number of dependencies, these, with a '+' before one that was completed whatever is stored under its id now,
--         and a '?' before one that counts as completed long ago when nothing is (times in ms; '' for none)
-- RETURN  the queue's last sequence and its time, then per task {id, 1 when it was stored, state}
-- ERRORS  InvalidTask, UnknownDependency, DependencyCycle: each names the index in the batch
local queue, settings, tasks, documents, index, unique, tombstones, alarms, types, tally, dependencies, waiting,
  attempts, errors, results, checkpoints, progress, reasons, escalations, events, signals = KEYS[1], KEYS[2], KEYS[3],
  KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11], KEYS[12], KEYS[13], KEYS[14], KEYS[15],
  KEYS[16], KEYS[17], KEYS[18], KEYS[19], KEYS[20], KEYS[21]
local prefix, request, mode, before = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
-- @include lib/open.lua
-- @include lib/limits.lua
-- @include lib/depend.lua
-- @include lib/settle.lua
-- @include lib/restore.lua

local batch, ids, fresh, by_id, total_dependencies, total_bytes = {}, {}, {}, {}, 0, 0
local at = 5
while at <= #ARGV do
  local entry
  entry, at = read_entry(at, #batch)
  local refused = check_restored(entry)
  if refused then return refuse(refused) end
  batch[#batch + 1], ids[#batch + 1] = entry, entry.id
  total_dependencies, total_bytes = total_dependencies + #entry.all, total_bytes + #entry.document
end
if #batch == 0 then return {state.sequence or '0', stamp} end
do
  local refused = check_batch(#batch, total_dependencies, total_bytes)
  if refused then return refuse(refused) end
end
load(ids)
for _, entry in ipairs(batch) do
  local stored = known[entry.id]
  if stored then whole(stored) end
  if stored or by_id[entry.id] then
    -- What this request stored it answers again as stored: its first reply was lost (design rule 9).
    entry.same, entry.created = entry.id, stored and request ~= '' and stored[NONCE] == request and not by_id[entry.id] and 1 or 0
    entry.again = entry.created == 1
  else
    entry.created = 1
    fresh[#fresh + 1] = entry
  end
  if not by_id[entry.id] then by_id[entry.id] = entry end
end
do
  forget_unknown(fresh, by_id)
  local refused = depend(fresh, by_id, false) or check_types(fresh)
  if refused then return refuse(refused) end
end
if mode == 'check' then
  local reply = {state.sequence or '0', stamp}
  for i, entry in ipairs(batch) do
    reply[i + 2] = {entry.id, entry.created, entry.same and known[entry.id] and public(known[entry.id]) or entry.state}
  end
  return reply
end
look_behind(before)
for _, entry in ipairs(fresh) do restore(entry) end
for _, entry in ipairs(fresh) do entry.sequence = known[entry.id][SEQUENCE] end
wait_on(fresh)
-- @include lib/conclude.lua

local reply = {state.sequence or '0', stamp}
for i, entry in ipairs(batch) do
  reply[i + 2] = {entry.id, entry.created, entry.again and entry.state or public(known[entry.id])}
end
return reply
