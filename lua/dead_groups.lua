-- dead_groups: a page of the dead letters, each with the group of its failure.
--
-- KEYS    the queue's fixed keys that it uses (lua/README.md)
-- ARGV    prefix, type ('' for all), cursor ('' for the start)
-- RETURN  {cursor or false, {group, pattern, …}, rows of {id, type, sequence, when it died (ms), group, the canary that it waits
--         for or false}}; a page may be empty, the end is a cursor of false
-- ERRORS  InvalidTask
local queue, tasks, dead, tally, dependencies, waiting, attempts, errors, results, checkpoints, progress, reasons,
  escalations, canaries = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10],
  KEYS[11], KEYS[12], KEYS[13], KEYS[14]
local prefix, type, cursor = ARGV[1], ARGV[2], ARGV[3]
-- @include lib/open.lua
-- @include lib/side.lua
-- @include lib/signature.lua
-- @include lib/page.lua

local LETTERS = 100
local place
if cursor ~= '' then
  local score, id = string.match(cursor, '^(%d+):(.*)$')
  if not score or #score > 16 then return refuse(refusal('InvalidTask', 'not a cursor of this list', {field = 'cursor'})) end
  place = {tonumber(score), id}
end
local found, more = after(dead, place, LETTERS)
local ids, links = {}, {}
for i, entry in ipairs(found) do ids[i] = entry[2] end
load(ids)
local texts = fetch('E', ids)
if #ids > 0 then links = redis.call('HMGET', canaries, unpack(ids)) end
local patterns, told, rows = {}, {}, {}
for i, id in ipairs(ids) do
  local task = known[id]
  if type == '' or task[TYPE] == type then
    whole(task)
    local pattern = signature(texts[id] or '', id)
    local group = group_of(pattern)
    if not told[group] then
      told[group] = true
      patterns[#patterns + 1] = group
      patterns[#patterns + 1] = pattern
    end
    rows[#rows + 1] = {id, task[TYPE], task[SEQUENCE], task[ENDED], group, links[i] and string.match(links[i], '^[^\n]*') or false}
  end
end
local last = found[#found]
return {more and last and string.format('%.0f', last[1]) .. ':' .. last[2] or false, patterns, rows}
