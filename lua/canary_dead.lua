-- canary_dead: retry one dead letter, and others when it has completed. They stay dead letters until then, linked to it; the
-- to-do of its completion carries them on (lib/work_on.lua), so that nothing has to run for it.
--
-- KEYS    the queue's fixed keys that it uses (lua/README.md)
-- ARGV    prefix, request, id, by, why, detail, 'force' to allow a second equal task, 'go' to retry it: '' only links, for a
--         group that takes several calls; then the ids of the others
-- RETURN  how many others are linked now
-- ERRORS  TaskNotFound, InvalidState, DuplicateTask, InvalidTask
local queue, tasks, unique, alarms, tally, dependencies, waiting, attempts, errors, results, checkpoints, progress,
  reasons, escalations, canaries, decisions, events, signals = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6],
  KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11], KEYS[12], KEYS[13], KEYS[14], KEYS[15], KEYS[16], KEYS[17], KEYS[18]
local prefix, request, id, by, why, detail, force, go = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
-- @include lib/open.lua
-- @include lib/revive.lua
-- @include lib/dead_letter.lua
-- @include lib/canary.lua
-- @include lib/decide.lua
-- @include lib/request.lua

local again = recall(request)
if again then return tonumber(again) end
local task, refused = dead_letter(id)
if not task then return refuse(refused) end
local MOST_OTHERS = 1000
if #ARGV - 8 > MOST_OTHERS then return refuse(refusal('InvalidTask', 'one call takes at most 1,000 others', {field = 'others'})) end
local equal = go == 'go' and force ~= 'force' and equal_of(id, task)
if equal then
  return refuse(refusal('DuplicateTask', 'its equal ' .. equal .. ' is ' .. public(known[equal]),
    {id = id, equal = equal, state = public(known[equal])}))
end
local others, linked = {}, 0
for at = 9, #ARGV do others[#others + 1] = ARGV[at] end
load(others)
for _, other in ipairs(others) do
  local letter = known[other]
  if letter and letter[STATE] == 'dead' and other ~= id then
    whole(letter)
    forget_canary(other)
    hset(canaries, other, id .. '\n' .. by .. '\n' .. cut(why, WHY_BYTES))
    zadd(prefix .. 'dependents:' .. id, letter[SEQUENCE], other)
    linked = linked + 1
  end
end
if go == 'go' then
  decide('retry', id, task, by, why, detail)
  forget_canary(id)
  revive(id, task, now)
end
remember(request, linked)
-- @include lib/conclude.lua
return linked
