-- live_agents(type): how many agents are known to live that do this type: those that announced it and are not silent, and
-- whoever holds a claim of it. silent: an agent that says nothing for so many times as long as it said is lost.
local LIVE_AGENTS_READ = 1000

local function live_agents(type)
  local alive, count = {}, 0
  local function note(agent)
    if not alive[agent] then
      alive[agent], count = true, count + 1
    end
  end
  local recent = redis.call('ZRANGE', seen, -LIVE_AGENTS_READ, -1)
  for i, said in ipairs(#recent > 0 and redis.call('HMGET', agents, unpack(recent)) or {}) do
    local at, every, names = string.match(said or '', '^(%d+)\n(%d+)\n%d+\n%d+\n[^\n]*\n([^\n]*)')
    if at and now - at <= silent * every and string.find(' ' .. names .. ' ', ' ' .. type .. ' ', 1, true) then note(recent[i]) end
  end
  local running, ids = redis.call('ZRANGE', prefix .. 'leased:' .. type, 0, LIVE_AGENTS_READ - 1, 'WITHSCORES'), {}
  for i = 1, #running, 2 do
    if tonumber(running[i + 1]) > now then ids[#ids + 1] = running[i] end
  end
  load(ids)
  for _, id in ipairs(ids) do note(known[id][AGENT]) end
  return count
end
