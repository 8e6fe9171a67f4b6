-- Restoring a task as it was: read its words, check them, give it its place.
-- @include lib/side_write.lua
-- @include lib/owners.lua
local FIELDS = {
  'id', 'type', 'priority', 'timeout', 'max_retries', 'base', 'state', 'retries', 'backoff', 'created_at', 'available', 'ended',
  'token', 'agent', 'host', 'claimed', 'lease', 'deadline', 'sequence', 'digest', 'document', 'error', 'result', 'incomplete',
  'checkpoint', 'progress', 'attempts', 'reason', 'escalation', 'empty',
}
local PLACES = {pending = 'ready', ['in-progress'] = 'leased', completed = 'completed', ['dead-letter'] = 'dead', cancelled = 'cancelled'}
-- The most of each: times up to the year 9999, which clients can show, and a sequence that rank() has room for.
local WHOLE = {
  retries = 1000000, backoff = 3960000, created_at = 253402300799999, available = 253402300799999, ended = 253402300799999,
  token = 4503599627370496, claimed = 253402300799999, lease = 2592000000, deadline = 253402300799999, sequence = 281474976710655,
}
local SIDE_OF = {E = 'error', R = 'result', C = 'checkpoint', G = 'progress', A = 'attempts', N = 'reason', S = 'escalation'}

local function read_entry(at, number)
  local entry = {at = number, names = {}, all = {}}
  for i, field in ipairs(FIELDS) do entry[field] = ARGV[at + i - 1] end
  at = at + #FIELDS
  local count = tonumber(ARGV[at]) or 0
  for i = 1, count do
    local sign, name = string.match(ARGV[at + i], '^([+?]?)(.*)$')
    entry.all[i] = name
    if sign ~= '+' then entry.names[#entry.names + 1] = name end
    if sign == '?' then entry.doubtful = entry.doubtful or {} entry.doubtful[name] = true end
  end
  return entry, at + count + 1
end

local function check_restored(entry)
  local refused = check_own(entry) or check_form(entry, entry) or check_names(entry)
  if refused then return refused end
  if #entry.all > MOST_DEPENDENCIES then return invalid(entry, 'dependencies', 'at most 1,000') end
  for _, name in ipairs(entry.all) do
    if not is_id(name, 128) then return invalid(entry, 'dependencies', 'not an id') end
  end
  entry.place = PLACES[entry.state]
  if not entry.place then return invalid(entry, 'state', 'not a state') end
  for field, most in pairs(WHOLE) do
    if entry[field] ~= '' and not is_whole(entry[field], 0, most) then return invalid(entry, field, 'not a whole number') end
  end
  if string.find(entry.agent .. entry.host, '%s') then return invalid(entry, 'claimedBy', 'not an agent') end
  if entry.place == 'leased' and (entry.token == '' or entry.agent == '') then
    return invalid(entry, 'claimedBy', 'an in-progress task needs its agent and token')
  end
end

-- forget_unknown(fresh, by_id): what nobody knows, and may have been completed long ago, is not waited for.
local function forget_unknown(fresh, by_id)
  local asked, unknown = {}, {}
  for _, entry in ipairs(fresh) do
    for name in pairs(entry.doubtful or {}) do
      if not by_id[name] and unknown[name] == nil then
        unknown[name] = true
        asked[#asked + 1] = name
      end
    end
  end
  for first = 1, #asked, 4000 do
    local part = {unpack(asked, first, math.min(first + 3999, #asked))}
    for i, text in ipairs(redis.call('HMGET', tasks, unpack(part))) do unknown[part[i]] = not text end
  end
  for _, entry in ipairs(fresh) do
    if entry.doubtful then
      local names = {}
      for _, name in ipairs(entry.names) do
        if not (entry.doubtful[name] and unknown[name]) then names[#names + 1] = name end
      end
      entry.names = names
    end
  end
end

-- A sequence that is ahead of what the queue had before the import is kept, so that an export restores the order; another
-- gets the next one. The import may have passed it: a dependency may be younger than what waits for it, and comes first.
local had, given = nil, {}

local function look_behind(before)
  had, given = tonumber(before), {}
end

local function is_free(sequence)
  local word = string.format('%.0f', sequence)
  return had and sequence > had and not given[word] and redis.call('ZCOUNT', index, word, word) == 0
end

local function next_sequence(entry)
  local last, own = tonumber(state.sequence) or 0, tonumber(entry.sequence)
  if not own or (own <= last and not is_free(own)) then own = last + 1 end
  local word = string.format('%.0f', own)
  given[word] = true
  if own > last then
    state.sequence = word
    hset(queue, 'sequence', word)
  end
  return word
end

-- all_names(entry): what it depends on, each once, in the order in which they were given: those that it waits for are
-- resolved with the batch, the others are only remembered.
local function all_names(entry)
  local listed, names = {}, {}
  for _, name in ipairs(entry.all) do
    if not listed[name] then
      listed[name] = true
      names[#names + 1] = name
    end
  end
  return names
end

local function place_restored(entry, task)
  local place = entry.place
  entry.depends = all_names(entry)
  if place == 'completed' or place == 'cancelled' then entry.waits = {} end
  if place == 'ready' then return settle(entry, task, tonumber(entry.available) or 0) end
  if #entry.depends > 0 then keep(entry.id, task, 'D', ' ' .. table.concat(entry.depends, ' ') .. ' ') end
  if #entry.waits > 0 then keep(entry.id, task, 'W', ' ' .. table.concat(entry.waits, ' ') .. ' ') end
  local score = entry.ended
  if place == 'leased' then score = entry.deadline ~= '' and entry.deadline or now + entry.timeout end
  transition(entry.id, task, place, score ~= '' and tonumber(score) or now)
end

-- A hold of its agent may have moved the lease beyond the timeout; then that is the limit, too.
local function limit_of(entry, claimed)
  return string.format('%.0f', math.max(claimed + entry.timeout, tonumber(entry.deadline) or 0))
end

local function restore(entry)
  local running = entry.place == 'leased'
  local function or_default(value, default) if value == '' then return default end return value end
  -- Who had a task that waits again, or died, stands in its attempts only: to name a claim here would count as one.
  local agent, host, claimed = entry.agent, entry.host, entry.claimed
  if entry.place == 'ready' or entry.place == 'dead' then agent, host, claimed = '', '', '' end
  local ended = entry.ended
  if ended == '' and (entry.place == 'completed' or entry.place == 'dead' or entry.place == 'cancelled') then ended = now end
  local task = {
    'new', entry.type, entry.timeout, entry.token, agent, host,
    running and or_default(claimed, now) or claimed, running and or_default(entry.lease, entry.timeout) or '',
    running and limit_of(entry, or_default(claimed, now)) or '', ended, 0, entry.incomplete ~= '' and 'I' or '',
    #entry.document, or_default(entry.retries, 0), entry.priority, next_sequence(entry), entry.max_retries, entry.base,
    or_default(entry.backoff, entry.base), or_default(entry.created_at, now), entry.available, entry.digest, request,
  }
  known[entry.id] = task
  hset(documents, entry.id, entry.document)
  zadd(index, task[SEQUENCE], entry.id)
  zrem_tombstone(entry.id)
  for letter, field in pairs(SIDE_OF) do
    if entry[field] ~= '' or string.find(entry.empty, letter, 1, true) then keep(entry.id, task, letter, entry[field]) end
  end
  if entry.place ~= 'cancelled' and entry.place ~= 'dead' then own(entry.id, task, false) end
  add(types, entry.type, 1)
  place_restored(entry, task)
  event('imported', entry.id, entry.type, '', '', entry.state)
end
