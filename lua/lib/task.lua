-- A task's small fields are one string, its words separated by single spaces: one HMGET reads a batch, and
-- table.concat writes it back. The user's document stands apart and no script decodes it.
local STATE, TYPE, TIMEOUT, TOKEN, AGENT, HOST, CLAIMED = 1, 2, 3, 4, 5, 6, 7
local LEASE, LIMIT, ENDED, HANDBACKS, FLAGS, BYTES, RETRIES = 8, 9, 10, 11, 12, 13, 14
-- What follows is seldom needed, and to take a word out of a string costs more than to fetch the string: so it stays one
-- string, at the place of the first of them, until somebody calls whole(task).
local PRIORITY, SEQUENCE, MAX_RETRIES, BASE, BACKOFF, CREATED, AVAILABLE, DIGEST, NONCE = 15, 16, 17, 18, 19, 20, 21, 22, 23
local REST = 15
local TASK = '^(%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (.*)$'
local REST_OF_TASK = '^(%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*)$'

-- whole(task): take the rest apart, too. To be called before a word from PRIORITY on is read or set.
local function whole(task)
  if task[NONCE] then return end
  task[PRIORITY], task[SEQUENCE], task[MAX_RETRIES], task[BASE], task[BACKOFF], task[CREATED], task[AVAILABLE], task[DIGEST],
    task[NONCE] = string.match(task[REST], REST_OF_TASK)
end

-- known: id -> task, or false when there is none; what one script changes, the rest of it sees.
local known = {}
-- stamp: the time as a word. Redis and Lua take longer to write a number than to compare it; %d is exact up to 2^53, and
-- faster than %.0f.
local stamp = string.format('%d', now)

-- text_of_task(task): as it is stored. To name the words is faster than table.concat, which goes through a buffer.
local function text_of_task(task)
  if task[NONCE] then return table.concat(task, ' ') end
  return task[STATE] .. ' ' .. task[TYPE] .. ' ' .. task[TIMEOUT] .. ' ' .. task[TOKEN] .. ' ' .. task[AGENT] .. ' ' .. task[HOST] .. ' '
    .. task[CLAIMED] .. ' ' .. task[LEASE] .. ' ' .. task[LIMIT] .. ' ' .. task[ENDED] .. ' ' .. task[HANDBACKS] .. ' '
    .. task[FLAGS] .. ' ' .. task[BYTES] .. ' ' .. task[RETRIES] .. ' ' .. task[REST]
end

-- load_one(id): read a task, when this script has not read it yet.
local function load_one(id)
  if known[id] ~= nil then return end
  local text = redis.call('HGET', tasks, id)
  known[id] = text and {string.match(text, TASK)}
end

-- load(ids): read the tasks that this script has not read yet, in one call.
local function load(ids)
  local missing, count = {}, 0
  for i = 1, #ids do
    local id = ids[i]
    if known[id] == nil then
      known[id] = false
      count = count + 1
      missing[count] = id
    end
  end
  if count == 0 then return end
  local texts = redis.call('HMGET', tasks, unpack(missing))
  for i = 1, count do
    if texts[i] then known[missing[i]] = {string.match(texts[i], TASK)} end
  end
end
