-- snapshot: what the files need next: the tasks that changed since the last call, and a page of those never read.
--
-- KEYS    the queue's fixed keys that it uses (lua/README.md)
-- ARGV    prefix, after (the sequence up to which pages are read, '0' at first, '' when all are), last (the sequence at
--         which they end, '' at first: what is newer comes as a change), since (the entry of the event stream up to which
--         changes are read, '' at first), limit, then ids to read in any case
-- RETURN  {now, since, 1 when there are more changes, after, last, breakers (type, words, due or '' …), totals (completed, dead, 1 when paused),
--         ids that are no tasks, ids that didn't fit, records …}, all of this very moment; {now, false} when changes behind
--         since may be lost
-- ERRORS  InvalidTask
local queue, settings, tasks, documents, index, tally, breakers, dependencies, waiting, attempts, errors, results,
  checkpoints, progress, reasons, escalations, events = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7],
  KEYS[8], KEYS[9], KEYS[10], KEYS[11], KEYS[12], KEYS[13], KEYS[14], KEYS[15], KEYS[16], KEYS[17]
local prefix, after, last, since, limit = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
-- @include lib/open.lua
-- @include lib/record.lua
-- @include lib/leases_of.lua
-- @include lib/changes.lua
-- @include lib/breaker.lua
-- @include lib/breaker_due.lua

limit = tonumber(limit)
if not limit or limit < 1 or limit > 1000 or limit % 1 ~= 0 or #ARGV > 1005 then
  return refuse(refusal('InvalidTask', 'an integer from 1 to 1,000', {field = 'limit'}))
end
if not string.find(after .. last, '^%d*$') or #after > 16 or #last > 16 or not (since == '' or string.find(since, '^%d+%-%d+$')) then
  return refuse(refusal('InvalidTask', 'not a place where a snapshot ended', {field = 'cursor'}))
end
local LARGEST_REPLY = 4194304
local changed_ids, more = {}, false
if last == '' then last = state.sequence or '0' end
if since == '' then since = newest_entry()
else
  changed_ids, since, more = changes(since, limit)
  if not changed_ids then return {stamp, false} end
end

local met, gone, left, read, bytes = {}, {}, {}, {}, 0
-- behind(task): a page yet to come brings it.
local function behind(task)
  local sequence = tonumber(task[SEQUENCE])
  return after ~= '' and sequence > tonumber(after) and sequence <= tonumber(last)
end

-- take(id): whether it still fits. The first one always does, whatever its size.
local function take(id)
  met[id] = true
  bytes = bytes + known[id][BYTES]
  if #read > 0 and bytes > LARGEST_REPLY then return false end
  read[#read + 1] = id
  return true
end
local wanted = {unpack(ARGV, 6)}
load(wanted)
load(changed_ids)
for _, list in ipairs({wanted, changed_ids}) do
  for _, id in ipairs(list) do
    local task = known[id]
    if task then whole(task) end
    if not task and not met[id] then
      met[id] = true
      gone[#gone + 1] = id
    elseif task and not met[id] and (list == wanted or not behind(task)) then
      if not take(id) then left[#left + 1] = id end
    end
  end
end

if after ~= '' then
  local page, full = redis.call('ZRANGEBYSCORE', index, '(' .. after, last, 'WITHSCORES', 'LIMIT', 0, limit), false
  local ids = {}
  for i = 1, #page, 2 do ids[#ids + 1] = page[i] end
  load(ids)
  for i, id in ipairs(ids) do
    if not met[id] and not take(id) then
      full = true
      break
    end
    after = page[2 * i]
  end
  if not full and #ids < limit then after = '' end
end

local found_breakers, pairs_found = {}, after == '' and not more and redis.call('HGETALL', breakers) or {}
for i = 1, #pairs_found, 2 do
  local type, words = pairs_found[i], {string.match(pairs_found[i + 1], BREAKER)}
  local due = words[B_STATE] == 'open' and string.format('%.0f', breaker_due(type, words)) or ''
  for _, word in ipairs({type, pairs_found[i + 1], due}) do found_breakers[#found_breakers + 1] = word end
end
-- @include lib/total_completed.lua
local totals = {total_completed(), redis.call('HGET', tally, 'total:dead') or '0', state.paused and 1 or 0}
return {
  stamp, since, more and 1 or 0, after, last, found_breakers, totals, gone, left,
  unpack(records(read, leases_of(read))),
}
