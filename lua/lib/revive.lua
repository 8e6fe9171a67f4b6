-- revive(id, task, available): a dead letter becomes pending again with all its attempts. equal_of(id, task): the equal task
-- that stands in its way (design rule 12), nil when there is none.
-- @include lib/requeue.lua
local LIVES = {ready = true, delayed = true, blocked = true, leased = true, completed = true}

local function equal_of(id, task)
  whole(task)
  if task[DIGEST] == '' then return nil end
  local equal = redis.call('HGET', unique, task[DIGEST])
  if not equal or equal == id then return nil end
  load_one(equal)
  return known[equal] and LIVES[known[equal][STATE]] and equal or nil
end

local function revive(id, task, available)
  whole(task)
  -- Written at once: of two equal dead letters that one canary releases, the second must find the first (equal_of).
  if task[DIGEST] ~= '' then redis.call('HSET', unique, task[DIGEST], id) end
  task[RETRIES], task[HANDBACKS], task[BACKOFF] = 0, 0, task[BASE]
  requeue(id, task, available)
  event('retried', id, task[TYPE])
end
