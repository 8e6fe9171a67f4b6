-- A task's small fields are one string, its words separated by single spaces: one HMGET reads a batch, and
-- table.concat writes it back. The user's document stands apart and no script decodes it.
local STATE, TYPE, PRIORITY, SEQUENCE, RETRIES, MAX_RETRIES = 1, 2, 3, 4, 5, 6
local TIMEOUT, BASE, BACKOFF, CREATED, AVAILABLE, ENDED = 7, 8, 9, 10, 11, 12
local TOKEN, AGENT, HOST, CLAIMED, LEASE, LIMIT = 13, 14, 15, 16, 17, 18
local HANDBACKS, FLAGS, BYTES, DIGEST, NONCE = 19, 20, 21, 22, 23
local TASK = '^(%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*)$'

-- known: id -> task, or false when there is none; what one script changes, the rest of it sees.
local known = {}
-- stamp: the time as a word. Redis and Lua take longer to write a number than to compare it.
local stamp = string.format('%.0f', now)

-- load(ids): read the tasks that this script has not read yet, in one call.
local function load(ids)
  local missing = {}
  for _, id in ipairs(ids) do
    if known[id] == nil then
      known[id] = false
      missing[#missing + 1] = id
    end
  end
  if #missing == 0 then return end
  for i, text in ipairs(redis.call('HMGET', tasks, unpack(missing))) do
    if text then known[missing[i]] = {string.match(text, TASK)} end
  end
end
