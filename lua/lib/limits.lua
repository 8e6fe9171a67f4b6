-- The limits of a task that cost no decoding (design section 2), each with its own error that names index and field.
-- @include lib/setting.lua
-- @include lib/check_bytes.lua
local ID = '^%w[%w._-]*$'
local MOST_TYPES, MOST_TASKS, MOST_NAMES, MOST_DEPENDENCIES = 2000, 1000, 10000, 1000
local LONGEST_TIMEOUT, LONGEST_BASE, FARTHEST = 2592000000, 3600000, 315360000000

-- Read once for a whole batch.
local document_bytes

local function is_id(text, most)
  return #text <= most and string.find(text, ID) ~= nil
end

local function is_whole(text, least, most)
  local number = tonumber(text)
  return number ~= nil and number >= least and number <= most and number % 1 == 0
end

local function invalid(entry, field, message)
  return refusal('InvalidTask', message, {index = entry.at, field = field, id = entry.id})
end

-- check_form(form, entry): what many tasks of a batch share, so enqueue checks it once for all of them.
local function check_form(form, entry)
  if not is_id(form.type, 64) then return invalid(entry, 'type', 'not a task type') end
  if not is_whole(form.priority, 1, 10) then return invalid(entry, 'priority', 'an integer from 1 to 10') end
  if not is_whole(form.timeout, 1, LONGEST_TIMEOUT) then return invalid(entry, 'timeout', 'above 0 and at most 30 days') end
  if not is_whole(form.max_retries, 0, 100) then return invalid(entry, 'maxRetries', 'an integer from 0 to 100') end
  if not is_whole(form.base, 0, LONGEST_BASE) then return invalid(entry, 'backoffSeconds', 'from 0 to 3600') end
end

-- check_own(entry): what is each task's own. A blank in the digest would take the task's small fields apart.
local function check_own(entry)
  if not is_id(entry.id, 128) then return refusal('InvalidTask', 'not an id', {index = entry.at, field = 'id'}) end
  if #entry.digest > 64 or not string.find(entry.digest, '^%S*$') then return invalid(entry, 'idempotencyKey', 'not a digest') end
  document_bytes = document_bytes or setting('document_bytes')
  if #entry.document > document_bytes then return invalid(entry, 'document', 'at most ' .. document_bytes .. ' bytes') end
end

local function check_names(entry)
  if #entry.names > MOST_DEPENDENCIES then return invalid(entry, 'dependencies', 'at most 1,000') end
end

local function check_batch(count, names, bytes)
  if count > MOST_TASKS then return refusal('InvalidTask', 'one call takes at most 1,000 tasks') end
  if names > MOST_NAMES then return refusal('InvalidTask', 'one call takes at most 10,000 dependencies') end
  return check_bytes(bytes)
end

-- Admin reads go over all types, so their number is bounded: with 10,000 of them one took more than 50 ms (design rule 16).
local function check_types(fresh)
  local stored = redis.call('HLEN', types)
  if stored + #fresh <= MOST_TYPES then return nil end
  local new = {}
  for _, entry in ipairs(fresh) do
    local type = entry.type or entry.form.type
    if not new[type] and redis.call('HEXISTS', types, type) == 0 then
      new[type], stored = true, stored + 1
      if stored > MOST_TYPES then return invalid(entry, 'type', 'a queue has at most 2,000 task types') end
    end
  end
end
