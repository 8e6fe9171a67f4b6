
local agent, host, request, limit, lease =  ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
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
    add(KEYS[7], from .. ':' .. type, -1)
  elseif from ~= 'new' then
    zrem(ARGV[1] .. from .. ':' .. type, id)
  end
  task[1] = to
  if to == 'removed' then return end
  changed[id] = task
  if to == 'completed' or to == 'dead' or to == 'cancelled' then
    zadd(ARGV[1] .. to, score, id)
    add(KEYS[7], to .. ':' .. type, 1)
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
local check_agent, check_claim, distinct
do
  function check_agent(agent)
    if #agent > 128 or not string.find(agent, '^[A-Za-z0-9][A-Za-z0-9._/@:-]*$') then
      return refusal('InvalidTask', 'an agent is a letter or digit, then letters, digits and . _ / @ : - (128 at most)', {field = 'agent'})
    end
  end
  function check_claim(agent, names, limit, lease)
    local refused = check_agent(agent)
    if refused then return refused end
    if #names == 0 or #names > 100 then return refusal('InvalidTask', 'a claim names 1 to 100 types', {field = 'types'}) end
    for _, type in ipairs(names) do
      if #type > 64 or not string.find(type, '^[A-Za-z0-9][A-Za-z0-9._-]*$') then return refusal('InvalidTask', 'not a task type', {field = 'types'}) end
    end
    if not limit or limit < 1 or limit > 1000 or limit % 1 ~= 0 then
      return refusal('InvalidTask', 'an integer from 1 to 1,000', {field = 'limit'})
    end
    if lease and not (lease >= 1) then return refusal('InvalidTask', 'above 0', {field = 'lease'}) end
  end
  function distinct(first, last)
    local seen, found = {}, {}
    for at = first, last do
      local name = ARGV[at]
      if not seen[name] then
        seen[name] = true
        found[#found + 1] = name
      end
    end
    return found
  end
end
local function recall(request)
  if request == '' then return nil end
  return redis.call('GET', ARGV[1] .. 'request:' .. request) or nil
end
local function remember(request, reply)
  if request ~= '' then redis.call('SET', ARGV[1] .. 'request:' .. request, reply, 'PX', '600000') end
end
local function remember_claim(request, rows)
  if request == '' then return end
  local lines_of = {}
  for i, row in ipairs(rows) do
    local task = known[row[1]]
    lines_of[i] = table.concat({row[1], task[13], row[13], task[17]}, ' ')
  end
  remember(request, table.concat(lines_of, '\n'))
end
local names = distinct(7, #ARGV)
limit, lease = tonumber(limit), tonumber(lease)
local refused = check_claim(agent, names, limit, lease)
if refused then return refuse(refused) end
local again = recall(request)
if again then
  local function records(ids, deadlines)
    if #ids == 0 then return {} end
    load(ids)
    local texts = redis.call('HMGET', KEYS[4], unpack(ids))
    local columns, flags = nil, ''
    for _, id in ipairs(ids) do
      if known[id] and known[id][20] ~= '' then flags = flags .. known[id][20] end
    end
    if flags ~= '' then
      local entries = {}
      local function side_key(letter)
        if letter == 'A' then return KEYS[12] end
        if letter == 'R' then return KEYS[14] end
        if letter == 'D' then return KEYS[10] end
        if letter == 'W' then return KEYS[11] end
        if letter == 'E' then return KEYS[13] end
        if letter == 'C' then return KEYS[15] end
        if letter == 'G' then return KEYS[16] end
        if letter == 'N' then return KEYS[17] end
        if letter == 'S' then return KEYS[18] end
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
      columns = {'D', 'W', 'E', 'R', 'C', 'G', 'A', 'N', 'S'}
      for i, letter in ipairs(columns) do
        columns[i] = string.find(flags, letter, 1, true) and fetch(letter, ids) or {}
      end
    end
    local found = {}
    for i, id in ipairs(ids) do
      if known[id] then
        local row = {
          id, table.concat(known[id], ' '), texts[i], false, false, false, false, false, false, false, false, false,
          deadlines[id] or false, false, false,
        }
        if columns then
          for place, entry_of in ipairs(columns) do row[3 + place] = entry_of[id] or false end
        end
        found[#found + 1] = row
      end
    end
    return found
  end
  local function recalled_rows(text)
    local ids, tokens, deadlines, leases = {}, {}, {}, {}
    for id, token, deadline, lease_ms in string.gmatch(text, '(%S+) (%S+) (%S+) (%S+)') do
      ids[#ids + 1], tokens[id], deadlines[id], leases[id] = id, token, deadline, lease_ms
    end
    local rows = records(ids, deadlines)
    for _, row in ipairs(rows) do
      row[14], row[15] = tokens[row[1]], leases[row[1]]
    end
    return rows
  end
  return recalled_rows(again)
end
look_for({KEYS[5], KEYS[8], KEYS[9], ARGV[1] .. 'hold:' .. agent})
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
  for i, text in ipairs(redis.call('HMGET', KEYS[9], unpack(missing))) do
    if text then read_breakers[missing[i]] = {string.match(text, '^' .. string.rep('([^ ]*) ', 9 - 1) .. '([^ ]*)$')} end
  end
end
local function breaker(type)
  if rare and read_breakers[type] == nil then load_breakers({type}) end
  return read_breakers[type] or nil
end
local rows
local left, scores = false, nil
do
  if rung then
    local function set_alarms()
      local leases = {}
      for name, at in pairs(rung) do
        if string.sub(name, 1, 1) == 'l' then
          leases[#leases + 1] = at
          leases[#leases + 1] = name
        elseif redis.call('ZADD', KEYS[6], 'LT', 'CH', at, name) == 1 then
          marked[string.sub(name, 3)] = true
        end
      end
      if #leases > 0 then redis.call('ZADD', KEYS[6], 'LT', unpack(leases)) end
      rung = nil
    end
    set_alarms()
  end
  local last, grace = tonumber(state.reaped), tonumber(state.grace)
  local reap_until = (not grace or now >= grace) and now or 0
  if last and (now - last > 60000 or now < last) then
    reap_until = grace and grace > last and now >= grace and last or 0
    grace = now + 60000
    state.grace = grace
    hset(KEYS[1], 'grace', grace)
  end
  if not last or now < last or now - last >= 1000 then hset(KEYS[1], 'reaped', now) end
  if redis.call('ZRANGEBYSCORE', KEYS[6], '-inf', awaited and now + 30000 or stamp, 'LIMIT', '0', '1')[1] then
    local function read_alarms()
      local count, asked = #names, {}
      for i, type in ipairs(names) do asked[i], asked[count + i] = 'd:' .. type, 'l:' .. type end
      return redis.call('ZMSCORE', KEYS[6], unpack(asked))
    end
    scores = read_alarms()
    local count, delayed, leased = #names, nil, nil
    for i, type in ipairs(names) do
      if scores[i] and tonumber(scores[i]) <= now then
        delayed = delayed or {}
        delayed[#delayed + 1] = type
      end
      if scores[count + i] and tonumber(scores[count + i]) <= reap_until then
        leased = leased or {}
        leased[#leased + 1] = type
      end
    end
    if delayed or leased then
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
        hset(KEYS[9], type, table.concat(words, ' '))
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
      local function breaker_failure(type, id, token, died)
        local words = breaker(type) or new_breaker()
        if words[1] == 'closed' then
          local threshold, _, _, count = breaker_setting(type)
          if not died and count ~= 'attempt' then return end
          words[2], words[3] = words[2] + 1, now
          if words[2] >= threshold then open_breaker(type, words, 'half') else save_breaker(type, words) end
        elseif is_probe(words, id, token) then
          words[2], words[3], words[9] = words[2] + 1, now, id
          open_breaker(type, words, 'cool')
        end
      end
      local entries = {}
      local function side_key(letter)
        if letter == 'A' then return KEYS[12] end
        if letter == 'R' then return KEYS[14] end
        if letter == 'D' then return KEYS[10] end
        if letter == 'W' then return KEYS[11] end
        if letter == 'E' then return KEYS[13] end
        if letter == 'C' then return KEYS[15] end
        if letter == 'G' then return KEYS[16] end
        if letter == 'N' then return KEYS[17] end
        if letter == 'S' then return KEYS[18] end
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
      local function rank(task)
        return (10 - task[3]) * 562949953421312 + task[4]
      end
      local function requeue(id, task, available)
        if available <= now then available = '' end
        task[11], task[12] = available, ''
        if has(task, 'I') then
          lower(id, task, 'I')
          drop(id, task, 'R')
        end
        if has(task, 'W') then transition(id, task, 'blocked', rank(task))
        elseif available ~= '' then transition(id, task, 'delayed', available)
        else transition(id, task, 'ready', rank(task)) end
      end
      local function backoff(task, spread)
        local wait = math.min(task[8] * 2 ^ (task[5] - 1), 3600000)
        return math.floor(wait * (1 + setting('backoff_jitter') * spread))
      end
      local function charge(id, task, outcome, operation, text, retry, spread)
        local type, agent, token = task[2], task[14], task[13]
        text = cut(text, 16384)
        task[5], task[19] = task[5] + 1, 0
        keep(id, task, 'E', text)
        local died = not retry or task[5] >= tonumber(task[6])
        if died then
          task[12], task[11] = now, ''
          transition(id, task, 'dead', now)
          add(KEYS[7], 'total:dead', 1)
        elseif outcome == 'failed' then
          task[9] = backoff(task, spread)
          requeue(id, task, now + task[9])
        else
          requeue(id, task, 0)
        end
        add(KEYS[7], 'total:failed', 1)
        breaker_failure(type, id, token, died)
        close_attempt(id, task, outcome, operation, text)
        event(outcome, id, type, agent, token, text)
        if died then event('dead', id, type, agent, token, text) end
      end
      local function reset_alarm(kind, type)
        local place = kind == 'd' and 'delayed:' or 'leased:'
        local first = redis.call('ZRANGE', ARGV[1] .. place .. type, 0, 0, 'WITHSCORES')
        if first[2] then
          redis.call('ZADD', KEYS[6], first[2], kind .. ':' .. type)
          return tonumber(first[2])
        end
        redis.call('ZREM', KEYS[6], kind .. ':' .. type)
      end
      local function reap(type, most, reap_until)
        local ids = redis.call('ZRANGEBYSCORE', ARGV[1] .. 'leased:' .. type, '-inf', reap_until, 'LIMIT', 0, most)
        load(ids)
        for _, id in ipairs(ids) do
          local task = known[id]
          local who = task[14] .. (task[15] ~= '' and ' on ' .. task[15] or '')
          local text = 'lost: ' .. who .. ' did not renew its lease'
          if tonumber(task[18]) <= now then text = 'timeout: ' .. who .. ' took longer than ' .. task[7] / 1000 .. ' s' end
          charge(id, task, 'expired', 'expire', text, true, 0)
        end
      end
      local function promote(type, most)
        local ids = redis.call('ZRANGEBYSCORE', ARGV[1] .. 'delayed:' .. type, '-inf', now, 'LIMIT', 0, most)
        load(ids)
        for _, id in ipairs(ids) do transition(id, known[id], 'ready', rank(known[id])) end
      end
      local function left_over(kind, names, due)
        local left = false
        for _, type in ipairs(names) do
          local at = reset_alarm(kind, type)
          if at and at <= due then
            left = true
            mark(type)
          end
        end
        return left
      end
      local function reap_and_promote(delayed, leased, reap_until)
        local share = math.max(1, math.floor(200 / math.max(#delayed, 1)))
        for _, type in ipairs(delayed) do promote(type, share) end
        share = math.max(1, math.floor(200 / math.max(#leased, 1)))
        for _, type in ipairs(leased) do reap(type, share, reap_until) end
        commit()
        local more_delayed, more_leased = left_over('d', delayed, now), left_over('l', leased, reap_until)
        return more_delayed or more_leased
      end
      left = reap_and_promote(delayed or {}, leased or {}, reap_until)
      scores = read_alarms()
    end
  end
end
local all_done, carried = true, nil
if additions[KEYS[5]] or (rare and redis.call('EXISTS', KEYS[5]) == 1) then
  carried = {}
  commit()
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
    hset(KEYS[9], type, table.concat(words, ' '))
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
  local entries = {}
  local function side_key(letter)
    if letter == 'A' then return KEYS[12] end
    if letter == 'R' then return KEYS[14] end
    if letter == 'D' then return KEYS[10] end
    if letter == 'W' then return KEYS[11] end
    if letter == 'E' then return KEYS[13] end
    if letter == 'C' then return KEYS[15] end
    if letter == 'G' then return KEYS[16] end
    if letter == 'N' then return KEYS[17] end
    if letter == 'S' then return KEYS[18] end
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
      zadd(KEYS[5], string.format('%.3f', now + state.jobs / 1000), job)
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
    local job = redis.call('ZRANGE', KEYS[5], 0, 0)[1]
    local name = string.match(job, '^%S+ (%S+)')
    local id = redis.call('ZRANGE', ARGV[1] .. 'dependents:' .. name, 0, 0)[1]
    if not id then return end
    load({id})
    if known[id] then mark(known[id][2]) end
  end
  local budget = 500
  repeat
    local jobs = redis.call('ZRANGE', KEYS[5], 0, 49)
    if #jobs == 0 then break end
    for _, job in ipairs(jobs) do
      if budget <= 0 then break end
      local cost, done = work_on(job)
      budget = budget - cost
      if done then zrem(KEYS[5], job) end
    end
    commit()
  until budget <= 0
  all_done = redis.call('EXISTS', KEYS[5]) == 0
  if not all_done then mark_rest() end
end
do
  local held = rare and redis.call('GET', ARGV[1] .. 'hold:' .. agent)
  held = held and tonumber(string.match(held, '%d+')) or 0
  local slow = tonumber(state.slowdown) or 0
  if state.paused then rows = {false, 'paused', false}
  elseif slow > now then rows = {false, 'slowdown', math.max(held, slow) - now}
  elseif held > now then
    rows = {false, 'held', held - now}
    for _, type in ipairs(names) do
      if redis.call('EXISTS', ARGV[1] .. 'ready:' .. type, ARGV[1] .. 'delayed:' .. type) > 0 then marked[type] = true end
    end
  end
end
if not rows then
  local gates, chosen_ids, found, places, more = {}, {}, {}, {}, {}
  local size
  do
    local open = 0
    load_breakers(names)
    local flags = rare and redis.call('HMGET', KEYS[8], unpack(names)) or {}
    for i, type in ipairs(names) do
      local words, gate = read_breakers[type], 'open'
      if flags[i] then gate = 'paused'
      elseif words and words[1] ~= 'closed' then
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
        gate = words[1] == 'open' and breaker_due(type, words) <= now and 'probe' or 'breaker'
      end
      gates[type] = gate
      if gate == 'open' then open = open + 1 end
    end
    size = math.ceil(limit / open) + (awaited and 1 or 0)
  end
  for i, type in ipairs(names) do
    places[i] = 1
    if gates[type] == 'open' then
      found[i] = redis.call('ZRANGE', ARGV[1] .. 'ready:' .. type, '0', size == 1 and '0' or size - 1, 'WITHSCORES')
      more[i] = #found[i] == 2 * size and size
    elseif gates[type] == 'probe' then
      local first = redis.call('ZRANGE', ARGV[1] .. 'ready:' .. type, '0', '1', 'WITHSCORES')
      found[i] = first[1] == read_breakers[type][9] and first[3] and {first[3], first[4]} or {first[1], first[2]}
    else
      found[i] = {}
    end
  end
  while #chosen_ids < limit do
    local best, score
    for i, type in ipairs(names) do
      if more[i] and not found[i][places[i]] then
        found[i] = redis.call('ZRANGE', ARGV[1] .. 'ready:' .. type, more[i], more[i] + size - 1, 'WITHSCORES')
        places[i], more[i] = 1, #found[i] == 2 * size and more[i] + size
      end
      local rank_of = tonumber(found[i][places[i] + 1])
      if rank_of and (not score or rank_of < score) then best, score = i, rank_of end
    end
    if not best then break end
    chosen_ids[#chosen_ids + 1] = found[best][places[best]]
    places[best] = places[best] + 2
  end
  if #chosen_ids == 0 then
    local function reset_alarm(kind, type)
      local place = kind == 'd' and 'delayed:' or 'leased:'
      local first = redis.call('ZRANGE', ARGV[1] .. place .. type, 0, 0, 'WITHSCORES')
      if first[2] then
        redis.call('ZADD', KEYS[6], first[2], kind .. ':' .. type)
        return tonumber(first[2])
      end
      redis.call('ZREM', KEYS[6], kind .. ':' .. type)
    end
    local function read_alarms()
      local count, asked = #names, {}
      for i, type in ipairs(names) do asked[i], asked[count + i] = 'd:' .. type, 'l:' .. type end
      return redis.call('ZMSCORE', KEYS[6], unpack(asked))
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
    local function earliest(a, b)
      if not a then return b end
      if not b then return a end
      return math.min(a, b)
    end
    local function opens_at(type)
      if gates[type] == 'paused' then return nil end
      local words = breaker(type)
      if gates[type] == 'breaker' and words[1] == 'open' then return breaker_due(type, words) end
      return now
    end
    local function next_change(names, scores, ready)
      local first
      for i, type in ipairs(names) do
        local opens = opens_at(type)
        if opens then
          local due_at = scores[i] and reset_alarm('d', type)
          local lost_at = scores[#names + i] and reset_alarm('l', type)
          if lost_at then lost_at = math.max(lost_at, tonumber(state.grace) or 0) end
          local at = earliest(due_at, lost_at)
          if at then first = earliest(first, math.max(at, opens)) end
          if ready[type] then first = earliest(first, opens > now and opens or nil) end
        end
      end
      return first
    end
    local function exists_in(place, names)
      local asked = {}
      for _, type in ipairs(names) do asked[#asked + 1] = ARGV[1] .. place .. ':' .. type end
      return redis.call('EXISTS', unpack(asked)) > 0
    end
    local function refused_claim()
      if not all_done then left = true end
      if rung then
        local function set_alarms()
          local leases = {}
          for name, at in pairs(rung) do
            if string.sub(name, 1, 1) == 'l' then
              leases[#leases + 1] = at
              leases[#leases + 1] = name
            elseif redis.call('ZADD', KEYS[6], 'LT', 'CH', at, name) == 1 then
              marked[string.sub(name, 3)] = true
            end
          end
          if #leases > 0 then redis.call('ZADD', KEYS[6], 'LT', unpack(leases)) end
          rung = nil
        end
        set_alarms()
        scores = nil
      end
      scores = scores or read_alarms()
      local stopped, best, ready = nil, nil, {}
      for _, type in ipairs(names) do
        local first = redis.call('ZRANGE', ARGV[1] .. 'ready:' .. type, 0, 0, 'WITHSCORES')
        if first[1] then
          ready[type] = true
          if not best or tonumber(first[2]) < best then best, stopped = tonumber(first[2]), gates[type] end
        end
      end
      local reason = stopped
      if not reason then
        if exists_in('delayed', names) then reason = 'delayed'
        elseif exists_in('blocked', names) then reason = 'blocked'
        else reason = 'empty' end
      end
      local at = left and now or next_change(names, scores, ready)
      return {false, reason, at and math.max(at - now, 0) or false}
    end
    rows = refused_claim()
  else
    local granted, deadlines, bytes, texts_of = {}, {}, 0, {[now] = stamp}
    local function text_of(number)
      local text = texts_of[number]
      if not text then
        text = string.format('%.0f', number)
        texts_of[number] = text
      end
      return text
    end
    local floor = (tonumber(state.floor) or 0) + 1
    load(chosen_ids)
    for _, id in ipairs(chosen_ids) do
      local task = known[id]
      bytes = bytes + task[21]
      if bytes > 8388608 and #granted > 0 then break end
      local type, length = task[2], tonumber(task[7])
      local limit_at = now + length
      local lease_text = task[7]
      if lease and lease < length then length, lease_text = lease, text_of(lease) end
      task[13] = text_of(math.max((tonumber(task[13]) or 0) + 1, floor, now))
      task[14], task[15], task[16], task[17], task[18] = agent, host, stamp, lease_text, text_of(limit_at)
      local ends = text_of(now + length)
      transition(id, task, 'leased', ends)
      if gates[type] == 'probe' then
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
          hset(KEYS[9], type, table.concat(words, ' '))
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
        local words = breaker(type)
        words[5], words[7], words[8] = now, id, task[13]
        change_breaker(type, words, 'half-open')
      end
      event('claimed', id, type, agent, task[13])
      granted[#granted + 1], deadlines[id] = id, ends
    end
    if awaited then
      for i, type in ipairs(names) do
        local words = read_breakers[type]
        local soon = scores and scores[i] and tonumber(scores[i]) <= now + 30000
        if words and words[1] == 'open' then
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
          soon = soon or breaker_due(type, words) <= now + 30000
        end
        marked[type] = soon or left or not all_done or nil
      end
      for i, type in ipairs(names) do
        if gates[type] == 'open' and (#granted < #chosen_ids or more[i] or found[i][places[i]]) then marked[type] = true end
      end
    end
    local function records(ids, deadlines)
      if #ids == 0 then return {} end
      load(ids)
      local texts = redis.call('HMGET', KEYS[4], unpack(ids))
      local columns, flags = nil, ''
      for _, id in ipairs(ids) do
        if known[id] and known[id][20] ~= '' then flags = flags .. known[id][20] end
      end
      if flags ~= '' then
        local entries = {}
        local function side_key(letter)
          if letter == 'A' then return KEYS[12] end
          if letter == 'R' then return KEYS[14] end
          if letter == 'D' then return KEYS[10] end
          if letter == 'W' then return KEYS[11] end
          if letter == 'E' then return KEYS[13] end
          if letter == 'C' then return KEYS[15] end
          if letter == 'G' then return KEYS[16] end
          if letter == 'N' then return KEYS[17] end
          if letter == 'S' then return KEYS[18] end
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
        columns = {'D', 'W', 'E', 'R', 'C', 'G', 'A', 'N', 'S'}
        for i, letter in ipairs(columns) do
          columns[i] = string.find(flags, letter, 1, true) and fetch(letter, ids) or {}
        end
      end
      local found = {}
      for i, id in ipairs(ids) do
        if known[id] then
          local row = {
            id, table.concat(known[id], ' '), texts[i], false, false, false, false, false, false, false, false, false,
            deadlines[id] or false, false, false,
          }
          if columns then
            for place, entry_of in ipairs(columns) do row[3 + place] = entry_of[id] or false end
          end
          found[#found + 1] = row
        end
      end
      return found
    end
    rows = records(granted, deadlines)
    for _, row in ipairs(rows) do row[14], row[15] = known[row[1]][13], known[row[1]][17] end
  end
end
if not rows[1] and not (waited and now - waited < 5000) then hset(KEYS[1], 'waited', now) end
if rows[1] then remember_claim(request, rows) end
commit()
if rung then
  local function set_alarms()
    local leases = {}
    for name, at in pairs(rung) do
      if string.sub(name, 1, 1) == 'l' then
        leases[#leases + 1] = at
        leases[#leases + 1] = name
      elseif redis.call('ZADD', KEYS[6], 'LT', 'CH', at, name) == 1 then
        marked[string.sub(name, 3)] = true
      end
    end
    if #leases > 0 then redis.call('ZADD', KEYS[6], 'LT', unpack(leases)) end
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
    redis.call('XADD', KEYS[19], 'MAXLEN', '~', '10000', '*', 'at', stamp, 'events', text)
  end
end
if messages then
  for _, message in ipairs(messages) do redis.call('PUBLISH', KEYS[20], message) end
end
return rows
