
local request, mode =  ARGV[2], ARGV[3]
local now
do
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local state
do
  local found = redis.call('HMGET', KEYS[1], 'schema', 'paused', 'slowdown', 'reaped', 'grace', 'floor', 'sequence',
    'configured', 'waited')
  state = {
    schema = found[1], paused = found[2], slowdown = found[3], reaped = found[4], grace = found[5], floor = found[6],
    sequence = found[7], configured = found[8], waited = found[9],
  }
  if found[1] and found[1] ~= '1' then
    return {err = 'SchemaMismatch ' .. cjson.encode({
      message = 'the queue is stored under schema ' .. found[1] .. ', this client knows ' .. '1'
        .. ': use the lokiredis version that wrote it, or export there and import here'
    })}
  end
end
local function refusal(code, message, data)
  data = data or {}
  data.message = message
  return {code, cjson.encode(data)}
end
local function refuse(refused)
  return {err = refused[1] .. ' ' .. refused[2]}
end
local TASK = '^' .. string.rep('([^ ]*) ', 23 - 1) .. '([^ ]*)$'
local known = {}
local stamp = string.format('%.0f', now)
local function load(ids)
  local missing = {}
  for _, id in ipairs(ids) do
    if known[id] == nil then
      known[id] = false
      missing[#missing + 1] = id
    end
  end
  if #missing == 0 then return end
  for i, text in ipairs(redis.call('HMGET', KEYS[3], unpack(missing))) do
    if text then known[missing[i]] = {string.match(text, TASK)} end
  end
end
local removals, additions, drops, fields, sums, changed = {}, {}, {}, {}, {}, {}
local function zrem(key, member)
  local words = removals[key]
  if words then words[#words + 1] = member else removals[key] = {member} end
end
local function zadd(key, score, member)
  local words = additions[key]
  if not words then
    additions[key] = {score, member}
    return
  end
  local count = #words
  words[count + 1], words[count + 2] = score, member
end
local function hset(key, field, value)
  local map = fields[key]
  if map then map[field] = value else fields[key] = {[field] = value} end
end
local function add(key, field, amount)
  local totals = sums[key]
  if not totals then
    totals = {}
    sums[key] = totals
  end
  totals[field] = (totals[field] or 0) + amount
end
local function touch(id, task)
  changed[id] = task
end
local function call_in_parts(command, lists)
  for key, words in pairs(lists) do
    local count = #words
    if count > 4000 then
      for first = 1, count, 4000 do redis.call(command, key, unpack(words, first, math.min(first + 3999, count))) end
    elseif count > 0 then
      redis.call(command, key, unpack(words))
    end
  end
end
local function commit()
  for id, task in pairs(changed) do hset(KEYS[3], id, table.concat(task, ' ')) end
  call_in_parts('ZREM', removals)
  call_in_parts('HDEL', drops)
  call_in_parts('ZADD', additions)
  for key, map in pairs(fields) do
    local words, count = {}, 0
    for field, value in pairs(map) do
      words[count + 1], words[count + 2] = field, value
      count = count + 2
    end
    fields[key] = words
  end
  call_in_parts('HSET', fields)
  for key, totals in pairs(sums) do
    for field, amount in pairs(totals) do
      if amount ~= 0 and redis.call('HINCRBY', key, field, amount == 1 and '1' or amount) <= 0 then redis.call('HDEL', key, field) end
    end
  end
  if not state.schema and next(fields) then
    state.schema = '1'
    redis.call('HSET', KEYS[1], 'schema', '1')
  end
  removals, additions, drops, fields, sums, changed = {}, {}, {}, {}, {}, {}
end
local lines, messages = {}, nil
local function event(kind, id, type, agent, token, text)
  if not id or id == '' then id = '-' end
  if not type or type == '' then type = '-' end
  if not agent or agent == '' then agent = '-' end
  if not token or token == '' then token = '-' end
  local line = kind .. ' ' .. id .. ' ' .. type .. ' ' .. agent .. ' ' .. token
  if text and text ~= '' then
    local function cut(text, bytes)
      if #text <= bytes then return text end
      while bytes > 0 do
        local following = string.byte(text, bytes + 1)
        if following < 128 or following > 191 then break end
        bytes = bytes - 1
      end
      return string.sub(text, 1, bytes)
    end
    line = line .. ' ' .. string.gsub(cut(text, 200), '%c', ' ')
  end
  lines[#lines + 1] = line
end
local marked, rung = {}, nil
local waited = tonumber(state.waited)
if waited and waited > now then waited = now end
local awaited = waited and now - waited < 60000
local function alarm(kind, type, at)
  local name = kind .. ':' .. type
  if not rung then rung = {[name] = at}
  elseif not rung[name] or (rung[name] ~= at and tonumber(at) < tonumber(rung[name])) then rung[name] = at end
end
local function transition(id, task, to, score)
  local from, type = task[1], task[2]
  local allowed, was_final = '', false
  if from == 'new' then allowed = 'ready delayed blocked leased completed dead cancelled'
  elseif from == 'ready' then allowed = 'leased cancelled'
  elseif from == 'leased' then allowed = 'completed ready delayed blocked dead cancelled'
  elseif from == 'delayed' then allowed = 'ready cancelled'
  elseif from == 'blocked' then allowed = 'ready delayed cancelled'
  elseif from == 'dead' then allowed, was_final = 'ready delayed blocked completed removed', true
  elseif from == 'completed' then allowed, was_final = 'removed', true
  elseif from == 'cancelled' then allowed, was_final = 'removed', true end
  if not string.find(allowed, to, 1, true) then error('illegal transition of ' .. id .. ' from ' .. from .. ' to ' .. to) end
  if was_final then
    zrem(ARGV[1] .. from, id)
    add(KEYS[10], from .. ':' .. type, -1)
  elseif from ~= 'new' then
    zrem(ARGV[1] .. from .. ':' .. type, id)
  end
  task[1] = to
  if to == 'removed' then return end
  changed[id] = task
  if to == 'completed' or to == 'dead' or to == 'cancelled' then
    zadd(ARGV[1] .. to, score, id)
    add(KEYS[10], to .. ':' .. type, 1)
    return
  end
  zadd(ARGV[1] .. to .. ':' .. type, score, id)
  if to == 'ready' then marked[type] = true
  elseif to == 'delayed' then alarm('d', type, score)
  elseif to == 'leased' then alarm('l', type, score) end
end
local function public(task)
  local place = task[1]
  if place == 'leased' then return 'in-progress' end
  if place == 'dead' then return 'dead-letter' end
  if place == 'completed' or place == 'cancelled' then return place end
  return 'pending'
end
local rare = true
local chosen = {}
local function default(name)
  if name == 'payload_bytes' or name == 'checkpoint_bytes' or name == 'result_bytes' then return 1048576 end
  if name == 'document_bytes' then return 2097152 end
  if name == 'decision_report' then return 'required' end
  if name == 'decision_report_keys' then return '' end
  if name == 'keep_ms' then return 604800000 end
  if name == 'keep_count' then return 100000 end
  if name == 'tombstone_ms' then return 2592000000 end
  if name == 'longest_hold_ms' then return 21600000 end
  if name == 'longest_slowdown_ms' then return 1800000 end
  if name == 'backoff_jitter' then return 0 end
  if name == 'breaker' then return '5 300000 60000 dead-letter' end
  return false
end
local function settings_of(...)
  if not state.configured then return end
  local names, missing = {...}, {}
  for _, name in ipairs(names) do
    if chosen[name] == nil then missing[#missing + 1] = name end
  end
  if #missing == 0 then return end
  for i, value in ipairs(redis.call('HMGET', KEYS[2], unpack(missing))) do
    local name = missing[i]
    local usual = default(name)
    if not value then value = usual
    elseif tonumber(usual) then value = tonumber(value) end
    chosen[name] = value
  end
end
local function setting(name)
  if not state.configured then return default(name) end
  if chosen[name] == nil then settings_of(name) end
  return chosen[name]
end
local is_id, is_whole, invalid, check_shape, check_new, check_batch, check_types
do
  function is_id(text, most)
    return #text <= most and string.find(text, '^[A-Za-z0-9][A-Za-z0-9._-]*$') ~= nil
  end
  function is_whole(text, least, most)
    local number = tonumber(text)
    return number ~= nil and number >= least and number <= most and number % 1 == 0
  end
  function invalid(entry, field, message)
    return refusal('InvalidTask', message, {index = entry.at, field = field, id = entry.id})
  end
  function check_shape(entry)
    if not is_id(entry.id, 128) then return refusal('InvalidTask', 'not an id', {index = entry.at, field = 'id'}) end
    if not is_id(entry.type, 64) then return invalid(entry, 'type', 'not a task type') end
    if not is_whole(entry.priority, 1, 10) then return invalid(entry, 'priority', 'an integer from 1 to 10') end
    if not is_whole(entry.timeout, 1, 2592000000) then return invalid(entry, 'timeout', 'above 0 and at most 30 days') end
    if not is_whole(entry.max_retries, 0, 100) then return invalid(entry, 'maxRetries', 'an integer from 0 to 100') end
    if not is_whole(entry.base, 0, 3600000) then return invalid(entry, 'backoffSeconds', 'from 0 to 3600') end
    if #entry.digest > 64 or string.find(entry.digest, '[^A-Za-z0-9_-]') then return invalid(entry, 'idempotencyKey', 'not a digest') end
    if #entry.names > 1000 then return invalid(entry, 'dependencies', 'at most 1,000') end
    if #entry.document > setting('document_bytes') then
      return invalid(entry, 'document', 'at most ' .. setting('document_bytes') .. ' bytes')
    end
  end
  function check_new(entry)
    local refused = check_shape(entry)
    if refused then return refused end
    if not is_whole(entry.payload_bytes, 0, setting('payload_bytes')) then
      return invalid(entry, 'payload', 'at most ' .. setting('payload_bytes') .. ' bytes')
    end
    if entry.delay ~= '' and not is_whole(entry.delay, 0, 315360000000) then return invalid(entry, 'delay', 'from 0 to 10 years') end
    if entry.available ~= '' and not is_whole(entry.available, 0, now + 315360000000) then
      return invalid(entry, 'availableAt', 'at most 10 years ahead')
    end
  end
  function check_batch(count, names, bytes)
    if count > 1000 then return refusal('InvalidTask', 'one call takes at most 1,000 tasks') end
    if names > 10000 then return refusal('InvalidTask', 'one call takes at most 10,000 dependencies') end
    if bytes > 8388608 then return refusal('InvalidTask', 'one call takes at most 8 MiB') end
  end
  function check_types(fresh)
    local count = redis.call('HLEN', KEYS[9])
    if count + #fresh <= 10000 then return nil end
    for _, entry in ipairs(fresh) do
      if redis.call('HEXISTS', KEYS[9], entry.type) == 0 then
        count = count + 1
        if count > 10000 then return invalid(entry, 'type', 'a queue has at most 10,000 task types') end
      end
    end
  end
end
local entries = {}
local function side_key(letter)
  if letter == 'A' then return KEYS[13] end
  if letter == 'R' then return KEYS[15] end
  if letter == 'D' then return KEYS[11] end
  if letter == 'W' then return KEYS[12] end
  if letter == 'E' then return KEYS[14] end
  if letter == 'C' then return KEYS[16] end
  if letter == 'G' then return KEYS[17] end
  if letter == 'N' then return KEYS[18] end
  if letter == 'S' then return KEYS[19] end
end
local function read_side(letter)
  local read = entries[letter]
  if not read then
    read = {}
    entries[letter] = read
  end
  return read
end
local function has(task, letter)
  return string.find(task[20], letter, 1, true) ~= nil
end
local function raise(id, task, letter)
  if not has(task, letter) then
    task[20] = task[20] .. letter
    touch(id, task)
  end
end
local function keep(id, task, letter, value)
  local read, before = read_side(letter), 0
  if has(task, letter) then
    before = read[id] and #read[id] or redis.call('HSTRLEN', side_key(letter), id)
  end
  task[21] = task[21] + #value - before
  read[id] = value
  hset(side_key(letter), id, value)
  raise(id, task, letter)
  touch(id, task)
end
local function rank(task)
  return (10 - task[3]) * 562949953421312 + task[4]
end
local function settle(entry, task, available)
  local depends, waits = entry.depends, entry.waits
  if #depends > 0 then
    local names = ' ' .. table.concat(depends, ' ') .. ' '
    keep(entry.id, task, 'D', names)
    if #waits > 0 then keep(entry.id, task, 'W', #waits == #depends and names or ' ' .. table.concat(waits, ' ') .. ' ') end
  end
  if #waits > 0 then transition(entry.id, task, 'blocked', rank(task))
  elseif available > now then transition(entry.id, task, 'delayed', available)
  else transition(entry.id, task, 'ready', rank(task)) end
end
local function wait_on(entry, task)
  local start, sequence, id = ARGV[1] .. 'dependents:', task[4], entry.id
  for _, name in ipairs(entry.waits) do redis.call('ZADD', start .. name, sequence, id) end
end
local any_tombstones
local function zrem_tombstone(id)
  if any_tombstones == nil then any_tombstones = redis.call('EXISTS', KEYS[7]) == 1 end
  if any_tombstones then zrem(KEYS[7], id) end
end
local batch, ids, digests, total_dependencies, total_bytes = {}, {}, {}, 0, 0
settings_of('payload_bytes', 'document_bytes')
local at = 4
while at <= #ARGV do
  local entry = {
    at = #batch, id = ARGV[at], type = ARGV[at + 1], priority = ARGV[at + 2], timeout = ARGV[at + 3],
    max_retries = ARGV[at + 4], base = ARGV[at + 5], available = ARGV[at + 6], delay = ARGV[at + 7], digest = ARGV[at + 8],
    payload_bytes = ARGV[at + 9], document = ARGV[at + 10], names = {}, depends = {}, waits = {},
  }
  local count = tonumber(ARGV[at + 11]) or 0
  for i = 1, count do entry.names[i] = ARGV[at + 12 + i - 1] end
  at = at + 12 + count
  local refused = check_new(entry)
  if refused then return refuse(refused) end
  batch[#batch + 1], ids[#batch + 1] = entry, entry.id
  digests[#digests + 1] = entry.digest
  total_dependencies, total_bytes = total_dependencies + count, total_bytes + #entry.document
end
if #batch == 0 then return {} end
do
  local refused = check_batch(#batch, total_dependencies, total_bytes)
  if refused then return refuse(refused) end
end
local BLOCKS = {ready = true, delayed = true, blocked = true, leased = true, completed = true}
load(ids)
local owners, by_id, by_digest = redis.call('HMGET', KEYS[6], unpack(digests)), {}, {}
do
  local found = {}
  for i, owner in ipairs(owners) do
    if owner and batch[i].digest ~= '' then found[#found + 1] = owner end
  end
  load(found)
end
local function equal_of(entry, owner)
  if entry.digest == '' then return nil end
  if owner and known[owner] and BLOCKS[known[owner][1]] then return owner end
  return by_digest[entry.digest]
end
local fresh = {}
for i, entry in ipairs(batch) do
  local stored, earlier = known[entry.id], by_id[entry.id]
  if stored and stored[23] == request and request ~= '' and not earlier then
    entry.same, entry.created = entry.id, 1
    if entry.digest ~= '' then by_digest[entry.digest] = entry.id end
  elseif stored or earlier then
    local digest = stored and stored[22] or earlier.digest
    if digest ~= entry.digest or digest == '' or (stored and not BLOCKS[stored[1]]) then
      return refuse(refusal('TaskExists', 'there is a task ' .. entry.id .. ' already',
        {index = entry.at, id = entry.id, state = stored and public(stored) or 'pending'}))
    end
    entry.same, entry.created = earlier and earlier.same or entry.id, 0
  else
    entry.same, entry.created = equal_of(entry, owners[i]), 0
    if not entry.same then
      entry.created = 1
      fresh[#fresh + 1] = entry
      if entry.digest ~= '' then by_digest[entry.digest] = entry.id end
    end
  end
  if not earlier then by_id[entry.id] = entry end
end
if total_dependencies > 0 then
  local function cycle(count, edges)
    local waits, behind, free = {}, {}, {}
    for i = 1, count do waits[i], behind[i] = 0, {} end
    for i = 1, count do
      for _, j in ipairs(edges[i]) do
        waits[i] = waits[i] + 1
        behind[j][#behind[j] + 1] = i
      end
    end
    for i = 1, count do
      if waits[i] == 0 then free[#free + 1] = i end
    end
    local at = 1
    while free[at] do
      for _, i in ipairs(behind[free[at]]) do
        waits[i] = waits[i] - 1
        if waits[i] == 0 then free[#free + 1] = i end
      end
      at = at + 1
    end
    if #free == count then return nil end
    for i = 1, count do
      if waits[i] > 0 then return i end
    end
  end
  local state_of = {}
  local function read_named(fresh, by_id)
    local named, unknown = {}, {}
    for _, entry in ipairs(fresh) do
      for _, name in ipairs(entry.names) do named[#named + 1] = by_id[name] and by_id[name].same or name end
    end
    for first = 1, #named, 4000 do
      for i, text in ipairs(redis.call('HMGET', KEYS[3], unpack(named, first, math.min(first + 3999, #named)))) do
        local name = named[first + i - 1]
        if text then state_of[name] = string.sub(text, 1, 2) else unknown[#unknown + 1] = name end
      end
    end
    local buried = {}
    for first = 1, #unknown, 4000 do
      local part = {unpack(unknown, first, math.min(first + 3999, #unknown))}
      for i, score in ipairs(redis.call('ZMSCORE', KEYS[7], unpack(part))) do
        if score and tonumber(score) > now then buried[part[i]] = true end
      end
    end
    return buried
  end
  local function unmet(entry, name, message)
    return refusal('UnknownDependency', message, {index = entry.at, id = entry.id, field = 'dependencies', dependency = name})
  end
  local function resolve(entry, name, by_id, buried, lenient)
    local other = by_id[name]
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
    if state_of[id] == 'ca' and entry.place ~= 'completed' and entry.place ~= 'cancelled' then return id, false, unmet(entry, name, name .. ' was cancelled') end
    return id, state_of[id] ~= 'co'
  end
  local function depend(fresh, by_id, lenient)
    local buried, place, edges = read_named(fresh, by_id), {}, {}
    for i, entry in ipairs(fresh) do place[entry.id] = i end
    for i, entry in ipairs(fresh) do
      local seen = {}
      entry.depends, entry.waits, edges[i] = {}, {}, {}
      for _, name in ipairs(entry.names) do
        local id, waits, refused = name, state_of[name] ~= 'co', nil
        if by_id[name] or not state_of[name] or state_of[name] == 'ca' then
          id, waits, refused = resolve(entry, name, by_id, buried, lenient)
          if refused then return refused end
        end
        if not seen[id] then
          seen[id] = true
          entry.depends[#entry.depends + 1] = id
          if waits then
            entry.waits[#entry.waits + 1] = id
            if place[id] then edges[i][#edges[i] + 1] = place[id] end
          end
        end
      end
    end
    local stuck = cycle(#fresh, edges)
    if stuck then
      local entry = fresh[stuck]
      return refusal('DependencyCycle', entry.id .. ' waits for itself through other tasks', {index = entry.at, id = entry.id})
    end
  end
  local refused = depend(fresh, by_id, false)
  if refused then return refuse(refused) end
end
do
  local refused = check_types(fresh)
  if refused then return refuse(refused) end
end
if mode == 'check' then return {} end
local sequence = tonumber(state.sequence) or 0
for _, entry in ipairs(fresh) do
  sequence = sequence + 1
  local place = string.format('%.0f', sequence)
  local available = tonumber(entry.available) or 0
  if entry.delay ~= '' then available = math.max(available, now + entry.delay) end
  local task = {
    'new', entry.type, entry.priority, place, '0', entry.max_retries, entry.timeout, entry.base, entry.base, stamp,
    available > 0 and available or '', '', '', '', '', '', '', '', '0', '', #entry.document, entry.digest, request,
  }
  known[entry.id] = task
  hset(KEYS[4], entry.id, entry.document)
  zadd(KEYS[5], place, entry.id)
  zrem_tombstone(entry.id)
  if entry.digest ~= '' then hset(KEYS[6], entry.digest, entry.id) end
  add(KEYS[9], entry.type, 1)
  settle(entry, task, available)
  event('enqueued', entry.id, entry.type)
end
if #fresh > 0 then hset(KEYS[1], 'sequence', known[fresh[#fresh].id][4]) end
for _, entry in ipairs(fresh) do wait_on(entry, known[entry.id]) end
commit()
if rung then
  local function set_alarms()
    local leases = {}
    for name, at in pairs(rung) do
      if string.sub(name, 1, 1) == 'l' then
        leases[#leases + 1] = at
        leases[#leases + 1] = name
      elseif redis.call('ZADD', KEYS[8], 'LT', 'CH', at, name) == 1 then
        marked[string.sub(name, 3)] = true
      end
    end
    if #leases > 0 then redis.call('ZADD', KEYS[8], 'LT', unpack(leases)) end
    rung = nil
  end
  set_alarms()
end
if awaited then
  for type in pairs(marked) do redis.call('ZADD', ARGV[1] .. 'wake:' .. type, '0', '1') end
end
do
  for first = 1, #lines, 100 do
    local text = table.concat(lines, '\n', first, math.min(first + 100 - 1, #lines))
    redis.call('XADD', KEYS[20], 'MAXLEN', '~', '10000', '*', 'at', stamp, 'events', text)
  end
end
if messages then
  for _, message in ipairs(messages) do redis.call('PUBLISH', KEYS[21], message) end
end
local reply = {}
for i, entry in ipairs(batch) do
  local id = entry.same or entry.id
  local own = entry.created == 1 or (request ~= '' and known[id][23] == request)
  reply[i] = {id, entry.created, own and 'pending' or public(known[id])}
end
return reply
