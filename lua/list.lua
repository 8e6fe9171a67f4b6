-- list: a page of tasks. Pending ones stand in claim order (ready, then delayed, then blocked), all others by sequence.
--
-- KEYS    the queue's fixed keys that it uses (lua/README.md)
-- ARGV    prefix, state ('' for all), type ('' for all), limit, cursor ('' for the start)
-- RETURN  {cursor or false, records …}; a page may be short, the end is a cursor of false
-- ERRORS  InvalidTask
local queue, tasks, documents, index, types, tally, dependencies, waiting, attempts, errors, results, checkpoints,
  progress, reasons, escalations = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9],
  KEYS[10], KEYS[11], KEYS[12], KEYS[13], KEYS[14], KEYS[15]
local prefix, wanted, type, limit, cursor = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
-- @include lib/open.lua
-- @include lib/record.lua
-- @include lib/leases_of.lua
-- @include lib/page.lua

limit = tonumber(limit)
if not limit or limit < 1 or limit > 1000 or limit % 1 ~= 0 then
  return refuse(refusal('InvalidTask', 'an integer from 1 to 1,000', {field = 'limit'}))
end
local ids, following
if wanted == 'pending' then ids, following = pending_page(type, limit, cursor)
elseif wanted == '' then ids, following = sequence_page(nil, type, limit, cursor)
else ids, following = state_page(wanted, type, limit, cursor) end
if not ids then return refuse(refusal('InvalidTask', 'not a cursor of this list', {field = 'cursor'})) end
ids, following = within_bytes(ids, following)
return {following or false, unpack(records(ids, leases_of(ids)))}
