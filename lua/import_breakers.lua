-- import_breakers: restore circuit breakers as they were; a type that has one already keeps it.
--
-- KEYS    the queue's fixed keys that it uses (lua/README.md)
-- ARGV    prefix, request, 'check' to store nothing, then per breaker: type, state, failures, last failure, opened,
--         half-opened, what must pass before it is due ('half', 'cool', 'now' or ''), probe, its token, the probe that
--         gives way (times in ms; '' for none)
-- RETURN  a text with a letter per breaker: 1 when it was stored, 0 when there was one
-- ERRORS  InvalidTask: names the index
local queue, tasks, alarms, tally, breakers, events, signals = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6],
  KEYS[7]
local prefix, request, mode = ARGV[1], ARGV[2], ARGV[3]
-- @include lib/open.lua
-- @include lib/limits.lua
-- @include lib/breaker_change.lua
-- @include lib/request.lua

local again = recall(request)
if again then return again end
local WORDS, MOST, LATEST = 10, 2000, 253402300799999
local rows, names, probes = {}, {}, {}
if (#ARGV - 3) % WORDS ~= 0 or #ARGV - 3 > WORDS * MOST then
  return refuse(refusal('InvalidTask', 'at most 2,000 breakers of ten words'))
end
for at = 4, #ARGV, WORDS do
  local row = {unpack(ARGV, at, at + WORDS - 1)}
  local entry = {at = #rows, id = row[1]}
  if not is_id(row[1], 64) then return refuse(invalid(entry, 'type', 'not a task type')) end
  if row[2] ~= 'closed' and row[2] ~= 'open' and row[2] ~= 'half-open' then return refuse(invalid(entry, 'state', 'not a state')) end
  if not is_whole(row[3], 0, 1000000) then return refuse(invalid(entry, 'failures', 'a whole number')) end
  for i = 4, 6 do
    if row[i] ~= '' and not is_whole(row[i], 0, LATEST) then return refuse(invalid(entry, 'openedAt', 'not a time')) end
  end
  if row[7] ~= '' and row[7] ~= 'half' and row[7] ~= 'cool' and row[7] ~= 'now' then return refuse(invalid(entry, 'wait', 'not a wait')) end
  if row[8] ~= '' and not is_id(row[8], 128) then return refuse(invalid(entry, 'probe', 'not an id')) end
  if row[9] ~= '' and not is_whole(row[9], 0, 4503599627370496) then return refuse(invalid(entry, 'token', 'not a token')) end
  if row[10] ~= '' and not is_id(row[10], 128) then return refuse(invalid(entry, 'probe', 'not an id')) end
  rows[#rows + 1], names[#names + 1] = row, row[1]
  if row[8] ~= '' then probes[#probes + 1] = row[8] end
end
for first = 1, #names, 4000 do load_breakers({unpack(names, first, math.min(first + 3999, #names))}) end
for first = 1, #probes, 4000 do load({unpack(probes, first, math.min(first + 3999, #probes))}) end

local stored = {}
for i, row in ipairs(rows) do
  local type = table.remove(row, 1)
  stored[i] = breaker(type) and '0' or '1'
  if stored[i] == '1' and mode ~= 'check' then
    local probe = known[row[PROBE]]
    -- A probe that doesn't run here never ends: without this the type would be stopped for ever.
    if row[B_STATE] == 'half-open' and not (probe and probe[STATE] == 'leased' and probe[TYPE] == type and probe[TOKEN] == row[PROBE_TOKEN]) then
      row[B_STATE], row[WAIT] = 'open', 'now'
    end
    if row[B_STATE] == 'open' and row[OPENED] == '' then row[OPENED] = now end
    change_breaker(type, row, row[B_STATE])
  end
end
local reply = table.concat(stored)
if mode == 'check' or not string.find(reply, '1', 1, true) then return reply end
remember(request, reply)
-- @include lib/conclude.lua
return reply
