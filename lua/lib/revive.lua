-- revive(id, task, available): a dead letter becomes pending again with all its attempts. equal_of(id, task): the equal task
-- that stands in its way (design rule 12), nil when there is none.
-- @include lib/requeue.lua
-- @include lib/owners.lua
local function equal_of(id, task)
  whole(task)
  if task[DIGEST] == '' then return nil end
  return living_owners(owners_of(task[DIGEST]), id)[1]
end

local function revive(id, task, available)
  own(id, task, true)
  task[RETRIES], task[HANDBACKS], task[BACKOFF] = 0, 0, task[BASE]
  requeue(id, task, available)
  event('retried', id, task[TYPE])
end
