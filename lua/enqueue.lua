-- enqueue: store new tasks, all of them or none.
--
-- KEYS    the queue's own hash alone: each costs every call 0.1 µs (lua/README.md)
-- ARGV    prefix, request, mode ('check' stores nothing, else ''), then six words per task: id, form, digest of the idempotency
--         key or '', bytes of the payload, document, dependencies between blanks. A form is seven words between blanks: type,
--         priority, timeout (ms), maxRetries, backoff (ms), availableAt (ms or ''), delay (ms or '')
-- RETURN  {index, id, 1 when it was created, state} for each task that was not simply created and is pending
-- ERRORS  InvalidTask, TaskExists, UnknownDependency, DependencyCycle: each names the index in the batch
local queue = KEYS[1]
local prefix, request, mode = ARGV[1], ARGV[2], ARGV[3]
-- @include lib/open.lua
-- @include lib/setting.lua
-- @include lib/limits.lua
-- @include lib/form.lua
-- @include lib/enter_alone.lua

if string.find(request, '%s') then return refuse(refusal('InvalidTask', 'no blanks', {field = 'request'})) end
local WORDS = 6
if (#ARGV - 3) % WORDS ~= 0 then return refuse(refusal('InvalidTask', 'six words per task', {field = 'tasks'})) end
-- A task without dependencies, as most are, needs no table of its own for them.
local NONE = {}
local batch, count, total_dependencies, total_bytes = {}, 0, 0, 0

settings_of('payload_bytes', 'document_bytes')
local payload_bytes = setting('payload_bytes')
for at = 4, #ARGV, WORDS do
  local entry = {at = count, id = ARGV[at], digest = ARGV[at + 2], document = ARGV[at + 4], names = NONE}
  local refused = check_own(entry)
  if refused then return refuse(refused) end
  entry.form, refused = form_of(ARGV[at + 1], entry)
  if refused then return refuse(refused) end
  -- The payload is a part of the document.
  if #entry.document > payload_bytes and not is_whole(ARGV[at + 3], 0, payload_bytes) then
    return refuse(invalid(entry, 'payload', 'at most ' .. payload_bytes .. ' bytes'))
  end
  if ARGV[at + 5] ~= '' then
    local names = {}
    for name in string.gmatch(ARGV[at + 5], '%S+') do names[#names + 1] = name end
    entry.names, total_dependencies = names, total_dependencies + #names
    refused = check_names(entry)
    if refused then return refuse(refused) end
  end
  count = count + 1
  batch[count] = entry
  total_bytes = total_bytes + #entry.document
end
if count == 0 then return {} end
do
  local refused = check_batch(count, total_dependencies, total_bytes)
  if refused then return refuse(refused) end
end

local fresh, fresh_count, sequence = {}, 0, tonumber(state.sequence) or 0
if count == 1 and total_dependencies == 0 and mode ~= 'check' and enter_alone(batch[1], sequence + 1) then
  fresh_count, sequence = 1, sequence + 1
else
  -- @include lib/sift.lua
  if mode == 'check' then return {} end
  if fresh_count == 1 then direct = true end
  for i = 1, fresh_count do
    sequence = sequence + 1
    enter(fresh[i], sequence)
  end
  for _, form in pairs(forms) do
    if form.count > 0 then add(types, form.type, form.count) end
  end
  if total_dependencies > 0 then wait_on(fresh) end
end
if fresh_count > 0 then
  hset(queue, 'sequence', string.format('%d', sequence))
  if not state.schema then hset(queue, 'schema', SCHEMA) end
end
-- @include lib/conclude.lua

local reply = {}
for i = 1, count do
  local entry = batch[i]
  local task = known[entry.same or entry.id]
  local created, state_now = not entry.same or entry.created, 'pending'
  if task then
    whole(task)
    -- What this request created was pending then, also when this is a repeated call and the task has gone on since.
    if request == '' or task[NONCE] ~= request then state_now = public(task) end
  end
  if not created or state_now ~= 'pending' then
    reply[#reply + 1] = {entry.at, entry.same or entry.id, created and 1 or 0, state_now}
  end
end
return reply
