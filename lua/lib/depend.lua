-- depend(fresh, by_id, lenient): resolve the dependencies of new tasks before anything is written; nil, or a refusal.
-- by_id holds the batch; an entry with .same stands for that stored (or earlier) task. Sets entry.depends, what it names,
-- and entry.waits, what has not completed yet. lenient: an unknown id counts as completed long ago (import).
-- @include lib/cycle.lua
-- 10,000 names in one call must not take 50 ms: of each only the first word is read, its state, and of that two letters.
local COMPLETED, CANCELLED = 'co', 'ca'
local state_of = {}

-- read_named(fresh, by_id): read the states, each once; returns the ids whose tombstone still counts as completed. What is new
-- in the batch has none yet.
local function read_named(fresh, by_id)
  local named, count, unknown = {}, 0, {}
  for _, entry in ipairs(fresh) do
    for _, name in ipairs(entry.names) do
      local other = by_id[name]
      if other then name = other.same end
      if name and state_of[name] == nil then
        count = count + 1
        named[count], state_of[name] = name, false
      end
    end
  end
  for first = 1, count, 4000 do
    for i, text in ipairs(redis.call('HMGET', tasks, unpack(named, first, math.min(first + 3999, count)))) do
      local name = named[first + i - 1]
      if text then state_of[name] = string.sub(text, 1, 2) else unknown[#unknown + 1] = name end
    end
  end
  local buried = {}
  for first = 1, #unknown, 4000 do
    local part = {unpack(unknown, first, math.min(first + 3999, #unknown))}
    for i, score in ipairs(redis.call('ZMSCORE', tombstones, unpack(part))) do
      if score and tonumber(score) > now then buried[part[i]] = true end
    end
  end
  return buried
end

local function unmet(entry, name, message)
  return refusal('UnknownDependency', message, {index = entry.at, id = entry.id, field = 'dependencies', dependency = name})
end

-- resolve(entry, name, ...): the real id, and whether it is still to be waited for; or a refusal as third value.
local function resolve(entry, name, by_id, buried, lenient)
  local other = by_id[name]
  -- What has ended waits for nothing, whatever became of its dependencies.
  lenient = lenient or entry.place == 'completed' or entry.place == 'cancelled'
  local id = other and (other.same or other.id) or name
  if id == entry.id then
    return id, false, refusal('DependencyCycle', entry.id .. ' depends on itself', {index = entry.at, id = entry.id})
  end
  if other and not other.same then
    if other.place == 'cancelled' and entry.place ~= 'completed' and entry.place ~= 'cancelled' then
      return id, false, unmet(entry, name, name .. ' was cancelled')
    end
    return id, other.place ~= 'completed'
  end
  if by_id[id] and not state_of[id] then return id, true end
  if not state_of[id] then
    if buried[id] or lenient then return id, false end
    return id, false, unmet(entry, name, 'there is no task ' .. string.sub(name, 1, 128))
  end
  if state_of[id] == CANCELLED and entry.place ~= 'completed' and entry.place ~= 'cancelled' then return id, false, unmet(entry, name, name .. ' was cancelled') end
  return id, state_of[id] ~= COMPLETED
end

local function depend(fresh, by_id, lenient)
  local buried, place, edges = read_named(fresh, by_id), {}, nil
  for i, entry in ipairs(fresh) do place[entry.id] = i end
  -- met: name -> the last entry that named it.
  local met = {}
  for i, entry in ipairs(fresh) do
    -- Who names nobody shares an empty table, which is only read.
    local depends, waits, count, waiting_count = entry.names, entry.names, 0, 0
    if depends[1] then depends, waits = {}, {} end
    for _, name in ipairs(entry.names) do
      local id, state_now = name, state_of[name]
      local waits_for, refused = state_now ~= COMPLETED, nil
      if by_id[name] or not state_now or state_now == CANCELLED then
        id, waits_for, refused = resolve(entry, name, by_id, buried, lenient)
        if refused then return refused end
      end
      if met[id] ~= i then
        met[id] = i
        count = count + 1
        depends[count] = id
        if waits_for then
          waiting_count = waiting_count + 1
          waits[waiting_count] = id
          local other = place[id]
          if other then
            edges = edges or {}
            edges[i] = edges[i] or {}
            edges[i][#edges[i] + 1] = other
          end
        end
      end
    end
    entry.depends, entry.waits = depends, waits
  end
  local stuck = edges and cycle(#fresh, edges)
  if stuck then
    local entry = fresh[stuck]
    return refusal('DependencyCycle', entry.id .. ' waits for itself through other tasks', {index = entry.at, id = entry.id})
  end
end
