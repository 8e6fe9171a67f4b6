-- sift: which tasks of the batch are new: sets fresh, their entries, and fresh_count. Ends the script when one is refused.
-- An equal task that is waiting, running or done is returned instead of a second one (design rule 12).
-- @include lib/owners.lua
local owners, by_id, by_digest = nil, {}, {}
do
  local ids, digests, found = {}, {}, {}
  for i = 1, count do ids[i], digests[i] = batch[i].id, batch[i].digest end
  load(ids)
  owners = redis.call('HMGET', unique, unpack(digests))
  for i = 1, count do
    local text = owners[i]
    if text then
      if string.find(text, ' ', 1, true) then owners[i] = living_owners(text)[1] else found[#found + 1] = text end
    end
  end
  if found[1] then load(found) end
end

-- entry.same: the task that this one turned out to be; entry.created: 1 for one that this request made, now or before.
for i = 1, count do
  local entry = batch[i]
  local id, digest = entry.id, entry.digest
  local stored, earlier = known[id], by_id[id]
  if stored then whole(stored) end
  if stored and stored[NONCE] == request and request ~= '' and not earlier then
    entry.same, entry.created = id, 1
    if digest ~= '' then by_digest[digest] = id end
  elseif stored or earlier then
    local before = stored and stored[DIGEST] or earlier.digest
    if before ~= digest or digest == '' or (stored and not LIVES[stored[STATE]]) then
      return refuse(refusal('TaskExists', 'there is a task ' .. id .. ' already',
        {index = entry.at, id = id, state = stored and public(stored) or 'pending'}))
    end
    -- The earlier one of the batch may itself be a duplicate of another task.
    entry.same = earlier and earlier.same or id
  else
    if digest ~= '' then
      local owner = owners[i]
      entry.same = owner and known[owner] and LIVES[known[owner][STATE]] and owner or by_digest[digest]
    end
    if not entry.same then
      fresh_count = fresh_count + 1
      fresh[fresh_count] = entry
      if digest ~= '' then by_digest[digest] = id end
    end
  end
  if not earlier then by_id[id] = entry end
end

if total_dependencies > 0 then
  -- @include lib/depend.lua
  local refused = depend(fresh, by_id, false)
  if refused then return refuse(refused) end
end
do
  local refused = check_types(fresh)
  if refused then return refuse(refused) end
end
