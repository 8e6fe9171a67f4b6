-- The limits of a task that cost no decoding (design section 2), each with its own error that names index and field.
-- @include lib/setting.lua
local ID = '^[A-Za-z0-9][A-Za-z0-9._-]*$'
local MOST_TYPES, MOST_TASKS, MOST_NAMES, MOST_DEPENDENCIES, MOST_BYTES = 10000, 1000, 10000, 1000, 8388608
local LONGEST_TIMEOUT, LONGEST_BASE, FARTHEST = 2592000000, 3600000, 315360000000

-- Read once for a whole batch.
local document_bytes, payload_bytes

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

local function check_shape(entry)
  if not is_id(entry.id, 128) then return refusal('InvalidTask', 'not an id', {index = entry.at, field = 'id'}) end
  if not is_id(entry.type, 64) then return invalid(entry, 'type', 'not a task type') end
  if not is_whole(entry.priority, 1, 10) then return invalid(entry, 'priority', 'an integer from 1 to 10') end
  if not is_whole(entry.timeout, 1, LONGEST_TIMEOUT) then return invalid(entry, 'timeout', 'above 0 and at most 30 days') end
  if not is_whole(entry.max_retries, 0, 100) then return invalid(entry, 'maxRetries', 'an integer from 0 to 100') end
  if not is_whole(entry.base, 0, LONGEST_BASE) then return invalid(entry, 'backoffSeconds', 'from 0 to 3600') end
  if #entry.digest > 64 or string.find(entry.digest, '[^A-Za-z0-9_-]') then return invalid(entry, 'idempotencyKey', 'not a digest') end
  if #entry.names > MOST_DEPENDENCIES then return invalid(entry, 'dependencies', 'at most 1,000') end
  document_bytes = document_bytes or setting('document_bytes')
  if #entry.document > document_bytes then return invalid(entry, 'document', 'at most ' .. document_bytes .. ' bytes') end
end

local function check_new(entry)
  local refused = check_shape(entry)
  if refused then return refused end
  payload_bytes = payload_bytes or setting('payload_bytes')
  if not is_whole(entry.payload_bytes, 0, payload_bytes) then return invalid(entry, 'payload', 'at most ' .. payload_bytes .. ' bytes') end
  if entry.delay ~= '' and not is_whole(entry.delay, 0, FARTHEST) then return invalid(entry, 'delay', 'from 0 to 10 years') end
  if entry.available ~= '' and not is_whole(entry.available, 0, now + FARTHEST) then
    return invalid(entry, 'availableAt', 'at most 10 years ahead')
  end
end

local function check_batch(count, names, bytes)
  if count > MOST_TASKS then return refusal('InvalidTask', 'one call takes at most 1,000 tasks') end
  if names > MOST_NAMES then return refusal('InvalidTask', 'one call takes at most 10,000 dependencies') end
  if bytes > MOST_BYTES then return refusal('InvalidTask', 'one call takes at most 8 MiB') end
end

-- Admin reads go over all types, so their number is bounded.
local function check_types(fresh)
  local count = redis.call('HLEN', types)
  if count + #fresh <= MOST_TYPES then return nil end
  for _, entry in ipairs(fresh) do
    if redis.call('HEXISTS', types, entry.type) == 0 then
      count = count + 1
      if count > MOST_TYPES then return invalid(entry, 'type', 'a queue has at most 10,000 task types') end
    end
  end
end
