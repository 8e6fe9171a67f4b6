
local id, token, report, body =  ARGV[2], ARGV[3], ARGV[4], ARGV[5]
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
local function hdel(key, field)
  if fields[key] then fields[key][field] = nil end
  local words = drops[key]
  if words then words[#words + 1] = field else drops[key] = {field} end
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
local function mark(type)
  marked[type] = true
end
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
    add(KEYS[13], from .. ':' .. type, -1)
  elseif from ~= 'new' then
    zrem(ARGV[1] .. from .. ':' .. type, id)
  end
  task[1] = to
  if to == 'removed' then return end
  changed[id] = task
  if to == 'completed' or to == 'dead' or to == 'cancelled' then
    zadd(ARGV[1] .. to, score, id)
    add(KEYS[13], to .. ':' .. type, 1)
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
local function look_for(keys)
  rare = redis.call('EXISTS', unpack(keys)) > 0
end
local entries = {}
local function side_key(letter)
  if letter == 'A' then return KEYS[17] end
  if letter == 'R' then return KEYS[19] end
  if letter == 'D' then return KEYS[15] end
  if letter == 'W' then return KEYS[16] end
  if letter == 'E' then return KEYS[18] end
  if letter == 'C' then return KEYS[20] end
  if letter == 'G' then return KEYS[21] end
  if letter == 'N' then return KEYS[22] end
  if letter == 'S' then return KEYS[23] end
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
local function fetch(letter, ids)
  local read, missing = read_side(letter), {}
  for _, id in ipairs(ids) do
    local task = known[id]
    if task and read[id] == nil and has(task, letter) then
      read[id] = false
      missing[#missing + 1] = id
    end
  end
  if #missing == 0 then return read end
  for i, value in ipairs(redis.call('HMGET', side_key(letter), unpack(missing))) do read[missing[i]] = value end
  return read
end
local function side(id, letter)
  return fetch(letter, {id})[id]
end
local function raise(id, task, letter)
  if not has(task, letter) then
    task[20] = task[20] .. letter
    touch(id, task)
  end
end
local function lower(id, task, letter)
  if has(task, letter) then
    task[20] = string.gsub(task[20], letter, '')
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
local function drop(id, task, letter)
  if not has(task, letter) then return end
  local read = read_side(letter)
  task[21] = task[21] - (read[id] and #read[id] or redis.call('HSTRLEN', side_key(letter), id))
  read[id] = false
  hdel(side_key(letter), id)
  lower(id, task, letter)
end
local function claimed(id, token)
  load({id})
  local task = known[id]
  if not task then return nil, refusal('TaskNotFound', 'there is no task ' .. id, {id = id}) end
  if task[1] == 'leased' and task[13] == token then return task end
  return nil, refusal('StaleClaim', 'the claim ' .. token .. ' of ' .. id .. ' has ended', {id = id, state = public(task), token = token})
end
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
local function report_gap(report)
  if setting('decision_report') ~= 'required' then return nil end
  if report == '' then return 'a completed task needs a non-empty decisionReport object' end
  for key in string.gmatch(setting('decision_report_keys'), '[^\n]+') do
    if not string.find(report, '\n' .. key .. '\n', 1, true) then return 'the decisionReport lacks ' .. key end
  end
end
local read_breakers = {}
local function load_breakers(names)
  local missing = {}
  for _, type in ipairs(names) do
    if read_breakers[type] == nil then
      read_breakers[type] = false
      missing[#missing + 1] = type
    end
  end
  if #missing == 0 or not rare then return end
  for i, text in ipairs(redis.call('HMGET', KEYS[14], unpack(missing))) do
    if text then read_breakers[missing[i]] = {string.match(text, '^' .. string.rep('([^ ]*) ', 9 - 1) .. '([^ ]*)$')} end
  end
end
local function breaker(type)
  if rare and read_breakers[type] == nil then load_breakers({type}) end
  return read_breakers[type] or nil
end
local function breaker_success(type, id, token)
  local words = breaker(type)
  if not words then return end
  local function breaker_setting(type)
    settings_of('breaker', 'breaker:' .. type)
    local threshold, cooldown, half, count = string.match(setting('breaker'), '(%S+) (%S+) (%S+) (%S+)')
    local own = setting('breaker:' .. type)
    if own then
      local t, c, h, n = string.match(own, '(%S+) (%S+) (%S+) (%S+)')
      if t ~= '-' then threshold = t end
      if c ~= '-' then cooldown = c end
      if h ~= '-' then half = h end
      if n ~= '-' then count = n end
    end
    return tonumber(threshold), tonumber(cooldown), tonumber(half), count
  end
  local function breaker_due(type, words)
    local _, cooldown, half = breaker_setting(type)
    local wait = 0
    if words[6] == 'half' then wait = half elseif words[6] == 'cool' then wait = cooldown end
    return words[4] + wait
  end
  local function new_breaker()
    return {'closed', 0, '', '', '', '', '', '', ''}
  end
  local function save_breaker(type, words)
    read_breakers[type] = words
    hset(KEYS[14], type, table.concat(words, ' '))
  end
  local function change_breaker(type, words, to)
    words[1] = to
    if to ~= 'half-open' then words[7], words[8] = '', '' end
    save_breaker(type, words)
    event('breaker-' .. to, '', type, '', '', words[2] .. ' failures')
    mark(type)
  end
  local function open_breaker(type, words, wait)
    words[4], words[6] = now, wait
    change_breaker(type, words, 'open')
  end
  local function is_probe(words, id, token)
    return words[1] == 'half-open' and words[7] == id and words[8] == tostring(token)
  end
  if words[1] == 'closed' then
    if tonumber(words[2]) > 0 then
      words[2] = 0
      save_breaker(type, words)
    end
  elseif is_probe(words, id, token) then
    words[2], words[6], words[9] = 0, '', ''
    change_breaker(type, words, 'closed')
  end
end
local function cut(text, bytes)
  if #text <= bytes then return text end
  while bytes > 0 do
    local following = string.byte(text, bytes + 1)
    if following < 128 or following > 191 then break end
    bytes = bytes - 1
  end
  return string.sub(text, 1, bytes)
end
local function close_attempt(id, task, outcome, operation, text)
  if text ~= '' then
    text = string.gsub(cut(text, 1024), '[\n\r\\]', {['\n'] = '\\n', ['\r'] = '\\r', ['\\'] = '\\\\'})
  end
  local line = table.concat({
    task[13], task[14], task[15] ~= '' and task[15] or '-', task[16], stamp, outcome, operation,
    public(task), task[5], task[11] ~= '' and task[11] or '-', text,
  }, ' ')
  local history = has(task, 'A') and side(id, 'A')
  if history then
    local _, count = string.gsub(history, '\n', '\n')
    if count >= 20 - 1 then history = string.match(history, '\n(.*)') end
    line = history .. '\n' .. line
  end
  keep(id, task, 'A', line)
  if task[1] ~= 'completed' and task[1] ~= 'cancelled' then
    task[14], task[15], task[16] = '', '', ''
  end
  task[17], task[18] = '', ''
end
local any_dependents = true
local function finish(id, token, report, body)
  local task, refused = claimed(id, token)
  if not task then
    local function recall_ending(id, token, operation, refused)
      local history = known[id] and side(id, 'A')
      for line in string.gmatch(history or '', '[^\n]+') do
        local words = {string.match(line, '^(%S+) %S+ %S+ %S+ %S+ %S+ (%S+) (%S+) (%S+) (%S+)')}
        if words[1] == token and words[2] == operation then
          return {words[3], words[4], words[5] ~= '-' and words[5] or ''}
        end
      end
      return nil, refused
    end
    return recall_ending(id, token, 'complete', refused)
  end
  settings_of('decision_report', 'decision_report_keys', 'result_bytes')
  if #body > setting('result_bytes') then
    return nil, refusal('InvalidTask', 'a result may be at most ' .. setting('result_bytes') .. ' bytes', {id = id, field = 'result'})
  end
  local gap = report_gap(report)
  if gap then
    if not (has(task, 'I') and side(id, 'R') == body) then
      keep(id, task, 'R', body)
      raise(id, task, 'I')
      event('incomplete', id, task[2], task[14], token, gap)
    end
    return nil, refusal('DecisionReportMissing', gap, {id = id})
  end
  keep(id, task, 'R', body)
  lower(id, task, 'I')
  local agent = task[14]
  task[12], task[19] = stamp, '0'
  transition(id, task, 'completed', stamp)
  add(KEYS[13], 'total:completed', 1)
  breaker_success(task[2], id, token)
  close_attempt(id, task, 'completed', 'complete', '')
  if any_dependents and redis.call('EXISTS', ARGV[1] .. 'dependents:' .. id) == 1 then
    local job = 'release ' .. id
    rare = true
    state.jobs = (state.jobs or 0) + 1
    zadd(KEYS[10], string.format('%.3f', now + state.jobs / 1000), job)
  end
  event('completed', id, task[2], agent, token)
  return {'completed', task[5], task[11]}, nil, agent
end
local function hold_of(agent)
  local text = rare and redis.call('GET', ARGV[1] .. 'hold:' .. agent)
  if not text then return 0, 0 end
  local ends, count = string.match(text, '(%d+) (%d+)')
  return tonumber(ends), tonumber(count)
end
local function forgive(agent)
  local ends, count = hold_of(agent)
  if count == 0 then return end
  if ends <= now then
    redis.call('DEL', ARGV[1] .. 'hold:' .. agent)
    return
  end
  local function hold(agent, ends, count)
    local kept = math.max(ends - now, 0) + 86400000
    redis.call('SET', ARGV[1] .. 'hold:' .. agent, string.format('%.0f %d', ends, count), 'PX', string.format('%.0f', kept))
  end
  hold(agent, ends, 0)
end
load({id})
look_for({KEYS[10], KEYS[14], ARGV[1] .. 'hold:' .. (known[id] and known[id][14] or '')})
local outcome, refused, agent = finish(id, token, report, body)
local finished = agent and 1 or 0
if agent then forgive(agent) end
if finished > 0 then
  local first = redis.call('ZRANGE', KEYS[7], '0', '0', 'WITHSCORES')[2]
  local due = first and tonumber(first) <= now - 600000
  if not due and redis.call('EXISTS', KEYS[8], KEYS[9]) > 0 then
    local buried = redis.call('ZRANGE', KEYS[8], 0, 0, 'WITHSCORES')[2]
    due = (buried and tonumber(buried) <= now - 600000) or redis.call('EXISTS', KEYS[9]) == 1
  end
  if due then
    local function remove(id, task)
      event('removed', id, task[2], '', '', public(task))
      for name in string.gmatch(side(id, 'W') or '', '%S+') do zrem(ARGV[1] .. 'dependents:' .. name, id) end
      for letter in string.gmatch(task[20], '%a') do
        if side_key(letter) then hdel(side_key(letter), id) end
      end
      if task[22] ~= '' and redis.call('HGET', KEYS[6], task[22]) == id then hdel(KEYS[6], task[22]) end
      if task[13] ~= '' and tonumber(task[13]) > tonumber(state.floor or 0) then
        state.floor = task[13]
        hset(KEYS[1], 'floor', task[13])
      end
      transition(id, task, 'removed')
      hdel(KEYS[3], id)
      hdel(KEYS[4], id)
      zrem(KEYS[5], id)
      add(KEYS[12], task[2], -1)
      known[id], changed[id] = false, nil
    end
    local function removable(id)
      return known[id] and redis.call('EXISTS', ARGV[1] .. 'dependents:' .. id) == 0
    end
    local function purge(place, most)
      local oldest = redis.call('ZRANGE', place, 0, most - 1, 'WITHSCORES')
      settings_of('keep_ms', 'keep_count', 'tombstone_ms')
      local expired = now - math.max(setting('keep_ms'), 600000)
      local excess = redis.call('ZCARD', place) - setting('keep_count')
      local ids = {}
      for i = 1, #oldest, 2 do
        local ended_at = tonumber(oldest[i + 1])
        if ended_at <= expired or (#ids < excess and ended_at <= now - 600000) then ids[#ids + 1] = oldest[i] end
      end
      load(ids)
      for _, id in ipairs(ids) do
        if removable(id) then
          if known[id][1] == 'completed' then zadd(KEYS[9], now + setting('tombstone_ms'), id) end
          remove(id, known[id])
        end
      end
    end
    local most = math.min(2 * finished, 1000)
    purge(KEYS[7], most)
    purge(KEYS[8], most)
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[9], '-inf', now, 'LIMIT', 0, most)) do zrem(KEYS[9], id) end
  end
end
local all_done, carried = true, nil
if additions[KEYS[10]] or (rare and redis.call('EXISTS', KEYS[10]) == 1) then
  carried = {}
  commit()
  local function breaker_setting(type)
    settings_of('breaker', 'breaker:' .. type)
    local threshold, cooldown, half, count = string.match(setting('breaker'), '(%S+) (%S+) (%S+) (%S+)')
    local own = setting('breaker:' .. type)
    if own then
      local t, c, h, n = string.match(own, '(%S+) (%S+) (%S+) (%S+)')
      if t ~= '-' then threshold = t end
      if c ~= '-' then cooldown = c end
      if h ~= '-' then half = h end
      if n ~= '-' then count = n end
    end
    return tonumber(threshold), tonumber(cooldown), tonumber(half), count
  end
  local function breaker_due(type, words)
    local _, cooldown, half = breaker_setting(type)
    local wait = 0
    if words[6] == 'half' then wait = half elseif words[6] == 'cool' then wait = cooldown end
    return words[4] + wait
  end
  local function new_breaker()
    return {'closed', 0, '', '', '', '', '', '', ''}
  end
  local function save_breaker(type, words)
    read_breakers[type] = words
    hset(KEYS[14], type, table.concat(words, ' '))
  end
  local function change_breaker(type, words, to)
    words[1] = to
    if to ~= 'half-open' then words[7], words[8] = '', '' end
    save_breaker(type, words)
    event('breaker-' .. to, '', type, '', '', words[2] .. ' failures')
    mark(type)
  end
  local function open_breaker(type, words, wait)
    words[4], words[6] = now, wait
    change_breaker(type, words, 'open')
  end
  local function is_probe(words, id, token)
    return words[1] == 'half-open' and words[7] == id and words[8] == tostring(token)
  end
  local function return_probe(type, id, token)
    local words = breaker(type)
    if words and is_probe(words, id, token) then
      words[6] = 'now'
      change_breaker(type, words, 'open')
    end
  end
  local function signal(name, data)
    data.signal = name
    data.queue = string.match(ARGV[1], '{(.*)}')
    data.at = now
    messages = messages or {}
    messages[#messages + 1] = cjson.encode(data)
  end
  local function cancel_task(id, task, reason)
    local type, agent, token, running = task[2], task[14], task[13], task[1] == 'leased'
    for name in string.gmatch(side(id, 'W') or '', '%S+') do zrem(ARGV[1] .. 'dependents:' .. name, id) end
    drop(id, task, 'W')
    keep(id, task, 'N', cut(reason, 16384))
    task[12] = now
    transition(id, task, 'cancelled', now)
    if running then
      return_probe(type, id, token)
      close_attempt(id, task, 'cancelled', 'cancel', reason)
      signal('CANCEL', {id = id, token = tonumber(token), agent = agent, reason = cut(reason, 200)})
    end
    if redis.call('EXISTS', ARGV[1] .. 'dependents:' .. id) == 1 then
      local job = 'cancel ' .. id
      rare = true
      state.jobs = (state.jobs or 0) + 1
      zadd(KEYS[10], string.format('%.3f', now + state.jobs / 1000), job)
    end
    event('cancelled', id, type, agent, running and token or '', reason)
  end
  local function rank(task)
    return (10 - task[3]) * 562949953421312 + task[4]
  end
  local function unblock(id, task)
    drop(id, task, 'W')
    if task[1] ~= 'blocked' then return end
    if task[11] ~= '' and tonumber(task[11]) > now then
      transition(id, task, 'delayed', task[11])
    else
      transition(id, task, 'ready', rank(task))
    end
  end
  local function release_from(id, task, parent)
    local names = read_side('W')[id]
    local first, last = string.find(names, ' ' .. parent .. ' ', 1, true)
    names = string.sub(names, 1, first) .. string.sub(names, last + 1)
    if names == ' ' then unblock(id, task) else keep(id, task, 'W', names) end
  end
  local function waits_for(id, sequence, parent)
    local task = known[id]
    return task and task[4] == sequence and read_side('W')[id]
      and string.find(read_side('W')[id], ' ' .. parent .. ' ', 1, true) ~= nil
  end
  local function work_on(job)
    local kind, name, parent = string.match(job, '^(%S+) (%S+) ?(%S*)$')
    if parent == '' then parent = name end
    local key, ids, sequences, cost = ARGV[1] .. 'dependents:' .. name, {}, {}, 1
    local pairs_found = redis.call('ZRANGE', key, 0, 100 - 1, 'WITHSCORES')
    for i = 1, #pairs_found, 2 do
      ids[#ids + 1] = pairs_found[i]
      sequences[#sequences + 1] = pairs_found[i + 1]
    end
    load(ids)
    fetch('W', ids)
    for i, id in ipairs(ids) do
      if waits_for(id, sequences[i], parent) then
        cost = cost + 1 + math.floor(#read_side('W')[id] / 1024)
        local place = known[id][1]
        if kind == 'release' or place == 'completed' or place == 'dead' or place == 'cancelled' then
          release_from(id, known[id], parent)
        else
          cancel_task(id, known[id], 'Parent ' .. parent .. ' cancelled')
          carried[#carried + 1] = id
        end
      end
      zrem(key, id)
    end
    return cost, #ids < 100
  end
  local function mark_rest()
    local job = redis.call('ZRANGE', KEYS[10], 0, 0)[1]
    local name = string.match(job, '^%S+ (%S+)')
    local id = redis.call('ZRANGE', ARGV[1] .. 'dependents:' .. name, 0, 0)[1]
    if not id then return end
    load({id})
    if known[id] then mark(known[id][2]) end
  end
  local budget = 500
  repeat
    local jobs = redis.call('ZRANGE', KEYS[10], 0, 49)
    if #jobs == 0 then break end
    for _, job in ipairs(jobs) do
      if budget <= 0 then break end
      local cost, done = work_on(job)
      budget = budget - cost
      if done then zrem(KEYS[10], job) end
    end
    commit()
  until budget <= 0
  all_done = redis.call('EXISTS', KEYS[10]) == 0
  if not all_done then mark_rest() end
end
commit()
if rung then
  local function set_alarms()
    local leases = {}
    for name, at in pairs(rung) do
      if string.sub(name, 1, 1) == 'l' then
        leases[#leases + 1] = at
        leases[#leases + 1] = name
      elseif redis.call('ZADD', KEYS[11], 'LT', 'CH', at, name) == 1 then
        marked[string.sub(name, 3)] = true
      end
    end
    if #leases > 0 then redis.call('ZADD', KEYS[11], 'LT', unpack(leases)) end
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
    redis.call('XADD', KEYS[24], 'MAXLEN', '~', '10000', '*', 'at', stamp, 'events', text)
  end
end
if messages then
  for _, message in ipairs(messages) do redis.call('PUBLISH', KEYS[25], message) end
end
return outcome or refuse(refused)
