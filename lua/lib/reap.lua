-- reap_and_promote(delayed, leased, reap_until): the types with due tasks and with expired leases get their share of a bounded
-- amount, of tasks and of bytes of their ledgers. True when some of it is left over.
-- @include lib/charge.lua
-- @include lib/side.lua
-- @include lib/reset_alarm.lua
-- @include lib/rank.lua
local REAPED_AT_ONCE, PROMOTED_AT_ONCE = 200, 200
-- A ledger is read and written anew: 200 full ones are 4 MiB, and took three times as long as all else about their tasks.
local LEDGERS_AT_ONCE = 1048576

-- reap(type, most, most_bytes, reap_until): those whose leases ended first; at least one, however long its ledger is.
local function reap(type, most, most_bytes, reap_until)
  local bytes, ledgers = 0, read_side('A')
  local ids = redis.call('ZRANGEBYSCORE', prefix .. 'leased:' .. type, '-inf', reap_until, 'LIMIT', 0, most)
  load(ids)
  for _, id in ipairs(ids) do
    if bytes >= most_bytes then break end
    local task = known[id]
    local who = task[AGENT] .. (task[HOST] ~= '' and ' on ' .. task[HOST] or '')
    local text = 'lost: ' .. who .. ' did not renew its lease'
    if tonumber(task[LIMIT]) <= now then text = 'timeout: ' .. who .. ' took longer than ' .. task[TIMEOUT] / 1000 .. ' s' end
    charge(id, task, 'expired', 'expire', text, true, 0)
    bytes = bytes + #ledgers[id]
  end
end

local function promote(type, most)
  local ids = redis.call('ZRANGEBYSCORE', prefix .. 'delayed:' .. type, '-inf', now, 'LIMIT', 0, most)
  load(ids)
  for _, id in ipairs(ids) do transition(id, known[id], 'ready', rank(known[id])) end
end

-- left_over(kind, names, due): set the alarms anew; true when one of them is due already.
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
  local share = math.max(1, math.floor(PROMOTED_AT_ONCE / math.max(#delayed, 1)))
  for _, type in ipairs(delayed) do promote(type, share) end
  share = math.max(1, math.floor(REAPED_AT_ONCE / math.max(#leased, 1)))
  for _, type in ipairs(leased) do reap(type, share, LEDGERS_AT_ONCE / #leased, reap_until) end
  commit()
  local more_delayed, more_leased = left_over('d', delayed, now), left_over('l', leased, reap_until)
  return more_delayed or more_leased
end
