-- Restoring a task as it was: read its words, check them, give it its place.
-- @include lib/side_write.lua
local FIELDS = {
  'id', 'type', 'priority', 'timeout', 'max_retries', 'base', 'state', 'retries', 'backoff', 'created_at', 'available', 'ended',
  'token', 'agent', 'host', 'claimed', 'lease', 'deadline', 'sequence', 'digest', 'document', 'error', 'result', 'incomplete',
  'checkpoint', 'progress', 'attempts', 'reason', 'escalation',
}
local PLACES = {pending = 'ready', ['in-progress'] = 'leased', completed = 'completed', ['dead-letter'] = 'dead', cancelled = 'cancelled'}
-- The most of each: times up to the year 9999, which clients can show, and a sequence that rank() has room for.
local WHOLE = {
  retries = 1000000, backoff = 3960000, created_at = 253402300799999, available = 253402300799999, ended = 253402300799999,
  token = 4503599627370496, claimed = 253402300799999, lease = 2592000000, deadline = 253402300799999, sequence = 281474976710655,
}
local SIDE_OF = {E = 'error', R = 'result', C = 'checkpoint', G = 'progress', A = 'attempts', N = 'reason', S = 'escalation'}

local function read_entry(at, number)
  local entry = {at = number, names = {}}
  for i, field in ipairs(FIELDS) do entry[field] = ARGV[at + i - 1] end
  at = at + #FIELDS
  local count = tonumber(ARGV[at]) or 0
  for i = 1, count do entry.names[i] = ARGV[at + i] end
  return entry, at + count + 1
end

local function check_restored(entry)
  local refused = check_own(entry) or check_form(entry, entry) or check_names(entry)
  if refused then return refused end
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

-- A sequence that is ahead of the queue's own is kept, so that an export restores the order; another gets the next one.
local function next_sequence(entry)
  local last = tonumber(state.sequence) or 0
  local own = tonumber(entry.sequence)
  state.sequence = own and own > last and own or last + 1
  hset(queue, 'sequence', string.format('%.0f', state.sequence))
  return string.format('%.0f', state.sequence)
end

local function place_restored(entry, task)
  local place = entry.place
  if place == 'completed' or place == 'cancelled' then entry.waits = {} end
  if place == 'ready' then return settle(entry, task, tonumber(entry.available) or 0) end
  if #entry.depends > 0 then keep(entry.id, task, 'D', ' ' .. table.concat(entry.depends, ' ') .. ' ') end
  if #entry.waits > 0 then keep(entry.id, task, 'W', ' ' .. table.concat(entry.waits, ' ') .. ' ') end
  local score = entry.ended
  if place == 'leased' then score = entry.deadline ~= '' and entry.deadline or now + entry.timeout end
  transition(entry.id, task, place, score ~= '' and tonumber(score) or now)
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
    running and or_default(entry.claimed, now) + entry.timeout or '', ended, 0, entry.incomplete ~= '' and 'I' or '',
    #entry.document, or_default(entry.retries, 0), entry.priority, next_sequence(entry), entry.max_retries, entry.base,
    or_default(entry.backoff, entry.base), or_default(entry.created_at, now), entry.available, entry.digest, '',
  }
  known[entry.id] = task
  hset(documents, entry.id, entry.document)
  zadd(index, task[SEQUENCE], entry.id)
  zrem_tombstone(entry.id)
  for letter, field in pairs(SIDE_OF) do
    if entry[field] ~= '' then keep(entry.id, task, letter, entry[field]) end
  end
  if entry.digest ~= '' and entry.place ~= 'cancelled' and entry.place ~= 'dead' then
    if redis.call('HEXISTS', unique, entry.digest) == 0 then hset(unique, entry.digest, entry.id) end
  end
  add(types, entry.type, 1)
  place_restored(entry, task)
  event('imported', entry.id, entry.type, '', '', entry.state)
end
