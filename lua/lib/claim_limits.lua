-- The limits of a claim.
local AGENT_NAME = '^%w[%w._/@:-]*$'
local TYPE_NAME = '^%w[%w._-]*$'
local MOST_NAMES, MOST_CLAIMS, MOST_LISTS = 100, 1000, 1000

local function check_agent(agent, host)
  if #agent > 128 or not string.find(agent, AGENT_NAME) then
    return refusal('InvalidTask', 'an agent is a letter or digit, then letters, digits and . _ / @ : - (128 at most)', {field = 'agent'})
  end
  -- A blank in it would take a task's small fields apart.
  if host and (#host > 128 or string.find(host, '%s')) then return refusal('InvalidTask', 'no blanks, 128 bytes at most', {field = 'host'}) end
end

-- types_of(text): the types that a claim names, between blanks; or nil and a refusal. Named twice they count once.
-- Agents ask for the same types again and again. In a function library CHECKED stays between calls; when it is full it is
-- begun anew.
local CHECKED = {lists = {}, count = 0}

local function types_of(text)
  local names = CHECKED.lists[text or '']
  if names then return names end
  local taken, count = {}, 0
  names = {}
  for name in string.gmatch(text or '', '%S+') do
    if #name > 64 or not string.find(name, TYPE_NAME) then return nil, refusal('InvalidTask', 'not a task type', {field = 'types'}) end
    if not taken[name] then
      taken[name], count = true, count + 1
      names[count] = name
    end
    if count > MOST_NAMES then break end
  end
  if count == 0 or count > MOST_NAMES then return nil, refusal('InvalidTask', 'a claim names 1 to 100 types', {field = 'types'}) end
  if CHECKED.count >= MOST_LISTS then CHECKED.lists, CHECKED.count = {}, 0 end
  CHECKED.lists[text], CHECKED.count = names, CHECKED.count + 1
  return names
end

-- check_claim(agent, host, limit, lease): the other limits of a claim; nil, or a refusal.
local function check_claim(agent, host, limit, lease)
  local refused = check_agent(agent, host)
  if refused then return refused end
  if not limit or limit < 1 or limit > MOST_CLAIMS or limit % 1 ~= 0 then
    return refusal('InvalidTask', 'an integer from 1 to 1,000', {field = 'limit'})
  end
  if lease and not (lease >= 1) then return refusal('InvalidTask', 'above 0', {field = 'lease'}) end
end
