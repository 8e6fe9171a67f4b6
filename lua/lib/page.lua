-- Pages of tasks for people and for the files; nothing here is on the way of a claim.
-- An entry of a page is {id, cursor just after it}.
-- @include lib/less.lua
local SCANNED, SORTED, REPLY_BYTES = 1000, 5000, 8388608
local PHASES = {'ready', 'delayed', 'blocked'}

local function by_place(a, b)
  if a[1] ~= b[1] then return a[1] < b[1] end
  return less(a[2], b[2])
end

-- rank_after(key, place): how many stand before the first one behind the place. Among equal scores a binary search:
-- thousands of tasks may fall due at the same moment.
local function rank_after(key, place)
  local score = string.format('%.0f', place[1])
  local low, high = redis.call('ZCOUNT', key, '-inf', '(' .. score), redis.call('ZCOUNT', key, '-inf', score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if less(place[2], redis.call('ZRANGE', key, middle, middle)[1]) then high = middle else low = middle + 1 end
  end
  return low
end

-- after(key, place, most): up to that many {score, member} behind the place (nil: the start), and whether there may be more.
local function after(key, place, most)
  local found, score = {}, place and string.format('%.0f', place[1]) or '-inf'
  local part = redis.call('ZRANGEBYSCORE', key, score, '+inf', 'WITHSCORES', 'LIMIT', 0, most)
  local last = {tonumber(part[#part]), part[#part - 1]}
  if place and #part == 2 * most and not by_place(place, last) then
    local from = rank_after(key, place)
    part = redis.call('ZRANGE', key, from, from + most - 1, 'WITHSCORES')
  end
  for i = 1, #part, 2 do
    local entry = {tonumber(part[i + 1]), part[i]}
    if not place or by_place(place, entry) then found[#found + 1] = entry end
  end
  return found, #part == 2 * most
end

-- nearest(phase, names, place): the types whose first entries come first, and the first entry of the others. Two entries of
-- each of 2,000 types made pages of two tasks where one type had nearly all.
local NEAREST = 250

local function nearest(phase, names, place)
  local heads, chosen = {}, {}
  for _, name in ipairs(names) do
    local head = after(prefix .. phase .. ':' .. name, place, 1)[1]
    if head then
      head[3] = name
      heads[#heads + 1] = head
    end
  end
  table.sort(heads, by_place)
  for i = 1, math.min(#heads, NEAREST) do chosen[i] = heads[i][3] end
  return chosen, heads[NEAREST + 1]
end

-- phase_page(...): the next of one phase over several types, in order. Where a type has more than was read, only what
-- comes before its last read entry is certain.
local function phase_page(phase, names, place, limit)
  local all, frontier = {}, nil
  if #names > NEAREST then names, frontier = nearest(phase, names, place) end
  local most = math.max(1, math.min(limit, math.floor(SORTED / math.max(#names, 1))))
  for _, name in ipairs(names) do
    local found, more = after(prefix .. phase .. ':' .. name, place, most)
    for _, entry in ipairs(found) do all[#all + 1] = entry end
    local last = found[#found]
    if more and last and (not frontier or by_place(last, frontier)) then frontier = last end
  end
  table.sort(all, by_place)
  local certain = {}
  for _, entry in ipairs(all) do
    if frontier and by_place(frontier, entry) then break end
    certain[#certain + 1] = entry
  end
  return certain, frontier ~= nil
end

local function pending_page(type, limit, cursor)
  local phase, place = 1, nil
  if cursor ~= '' then
    local number, score, id = string.match(cursor, '^([123]):(%d+):(.*)$')
    if not number or #score > 16 then return nil end
    phase, place = tonumber(number), {tonumber(score), id}
  end
  local names = type ~= '' and {type} or redis.call('HKEYS', types)
  local page = {}
  while phase <= 3 do
    local found, more = phase_page(PHASES[phase], names, place, limit)
    for _, entry in ipairs(found) do
      local behind = phase .. ':' .. string.format('%.0f', entry[1]) .. ':' .. entry[2]
      page[#page + 1] = {entry[2], behind}
      if #page == limit then return page, behind end
    end
    if more then return page, #page > 0 and page[#page][2] or cursor end
    phase, place = phase + 1, nil
  end
  return page, nil
end

-- sequence_page(keep, ...): along the index of all tasks; keep(task) chooses.
local function sequence_page(wanted, type, limit, cursor)
  if cursor == '' then cursor = '0' end
  if not string.find(cursor, '^%d+$') then return nil end
  local part = redis.call('ZRANGEBYSCORE', index, '(' .. cursor, '+inf', 'WITHSCORES', 'LIMIT', 0, SCANNED)
  local ids, page = {}, {}
  for i = 1, #part, 2 do ids[#ids + 1] = part[i] end
  load(ids)
  for i = 1, #part, 2 do
    local task = known[part[i]]
    if (not wanted or public(task) == wanted) and (type == '' or task[TYPE] == type) then
      page[#page + 1] = {part[i], part[i + 1]}
      if #page == limit then return page, part[i + 1] end
    end
    cursor = part[i + 1]
  end
  return page, #part == 2 * SCANNED and cursor or nil
end

-- few_of(state): the ids of a state that has few tasks, nil when there are many.
local function few_of(wanted, type)
  local keys, ids, total = {}, {}, 0
  if wanted == 'in-progress' then
    for _, name in ipairs(type ~= '' and {type} or redis.call('HKEYS', types)) do keys[#keys + 1] = prefix .. 'leased:' .. name end
  else
    keys[1] = prefix .. (wanted == 'dead-letter' and 'dead' or wanted)
  end
  for _, key in ipairs(keys) do
    total = total + redis.call('ZCARD', key)
    if total > SORTED then return nil end
  end
  for _, key in ipairs(keys) do
    for _, id in ipairs(redis.call('ZRANGE', key, 0, SORTED)) do ids[#ids + 1] = id end
  end
  return ids
end

-- state_page(...): few tasks are sorted here, many are found along the index, so that no call is long.
local function state_page(wanted, type, limit, cursor)
  local ids = few_of(wanted, type)
  if not ids then return sequence_page(wanted, type, limit, cursor) end
  if cursor == '' then cursor = '0' end
  if not string.find(cursor, '^%d+$') then return nil end
  local sorted, page = {}, {}
  for first = 1, #ids, 4000 do
    local part = {unpack(ids, first, math.min(first + 3999, #ids))}
    load(part)
    for i, sequence in ipairs(redis.call('ZMSCORE', index, unpack(part))) do
      local task = known[part[i]]
      if tonumber(sequence) > tonumber(cursor) and (type == '' or task[TYPE] == type) then
        sorted[#sorted + 1] = {tonumber(sequence), part[i]}
      end
    end
  end
  table.sort(sorted, by_place)
  for i, entry in ipairs(sorted) do
    local behind = string.format('%.0f', entry[1])
    page[#page + 1] = {entry[2], behind}
    if #page == limit then return page, i < #sorted and behind or nil end
  end
  return page, nil
end

-- within_bytes(page, following): as much of it as one reply may hold.
local function within_bytes(page, following)
  local ids, bytes = {}, 0
  for _, entry in ipairs(page) do ids[#ids + 1] = entry[1] end
  load(ids)
  for i, entry in ipairs(page) do
    bytes = bytes + known[entry[1]][BYTES]
    if bytes > REPLY_BYTES and i > 1 then
      return {unpack(ids, 1, i - 1)}, page[i - 1][2]
    end
  end
  return ids, following
end
