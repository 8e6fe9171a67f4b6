-- What changed, from the event stream: each call that changes tasks writes an entry with a line per task.
local ENTRIES_AT_ONCE, SURELY_WHOLE = 100, 10000

-- newest_entry(): the id of the stream's last entry.
local function newest_entry()
  local last = redis.call('XREVRANGE', events, '+', '-', 'COUNT', 1)[1]
  return last and last[1] or '0-0'
end

-- lines_of(entry): its lines, each after a newline.
local function lines_of(entry)
  local words = entry[2]
  for i = 1, #words, 2 do
    if words[i] == 'events' then return '\n' .. words[i + 1] end
  end
  return ''
end

-- changes(since, most): ids that changed after that entry (about as many as most), the entry up to which they did, and
-- whether there are more. nil when the entry itself is gone: what came after it may be, too.
local function changes(since, most)
  local ids, met, more = {}, {}, true
  while more and #ids < most do
    local part = redis.call('XRANGE', events, since, '+', 'COUNT', ENTRIES_AT_ONCE)
    if since == '0-0' then
      if redis.call('XLEN', events) >= SURELY_WHOLE then return nil end
    elseif not part[1] or part[1][1] ~= since then
      return nil
    end
    more = #part == ENTRIES_AT_ONCE
    for i, entry in ipairs(part) do
      if entry[1] ~= since then
        for id in string.gmatch(lines_of(entry), '\n%S+ (%S+)') do
          if id ~= '-' and not met[id] then
            met[id] = true
            ids[#ids + 1] = id
          end
        end
        since = entry[1]
      end
      if #ids >= most then
        more = more or i < #part
        break
      end
    end
  end
  return ids, since, more
end
