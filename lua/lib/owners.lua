-- The owners of an idempotency key: ids between blanks, which an equal task is asked about in this order. Nearly always one;
-- more where a person retried a dead letter beside its equal, resolved one, or imported both. With one alone the key was
-- free as soon as that one died, whatever the other did, and finished work was given out again (design rule 12).
local LIVES = {ready = true, delayed = true, blocked = true, leased = true, completed = true}
local MOST_OWNERS = 100
-- owned: digest -> what this script has written, or is about to.
local owned = {}

local function owners_of(digest)
  return owned[digest] or redis.call('HGET', unique, digest) or ''
end

-- living_owners(text, id): those that wait, run or are done, without this id.
local function living_owners(text, id)
  if text == '' or text == id then return {} end
  local names, living = {}, {}
  for name in string.gmatch(text, '%S+') do names[#names + 1] = name end
  load(names)
  for _, name in ipairs(names) do
    if name ~= id and known[name] and LIVES[known[name][STATE]] then living[#living + 1] = name end
  end
  return living
end

-- own(id, task, first): it lives again, and its key is its own: before the others that live, or behind them.
local function own(id, task, first)
  whole(task)
  local digest = task[DIGEST]
  if digest == '' then return end
  local names = living_owners(owners_of(digest), id)
  names[MOST_OWNERS] = nil
  table.insert(names, first and 1 or #names + 1, id)
  owned[digest] = table.concat(names, ' ')
  hset(unique, digest, owned[digest])
end

-- disown(id, task): forget it among the owners of its key.
local function disown(id, task)
  local digest = task[DIGEST]
  if digest == '' then return end
  local text = owners_of(digest)
  if text == id then
    owned[digest] = ''
    hdel(unique, digest)
  elseif string.find(' ' .. text .. ' ', ' ' .. id .. ' ', 1, true) then
    local names = {}
    for name in string.gmatch(text, '%S+') do
      if name ~= id then names[#names + 1] = name end
    end
    owned[digest] = table.concat(names, ' ')
    hset(unique, digest, owned[digest])
  end
end
