-- check_claim(agent, host, names, limit, lease): the limits of a claim; nil, or a refusal. Types named twice count once.
local AGENT_NAME = '^[A-Za-z0-9][A-Za-z0-9._/@:-]*$'
local TYPE_NAME = '^[A-Za-z0-9][A-Za-z0-9._-]*$'
local MOST_NAMES, MOST_CLAIMS = 100, 1000

local function check_agent(agent, host)
  if #agent > 128 or not string.find(agent, AGENT_NAME) then
    return refusal('InvalidTask', 'an agent is a letter or digit, then letters, digits and . _ / @ : - (128 at most)', {field = 'agent'})
  end
  -- A blank in it would take a task's small fields apart.
  if host and (#host > 128 or string.find(host, '%s')) then return refusal('InvalidTask', 'no blanks, 128 bytes at most', {field = 'host'}) end
end

local function check_claim(agent, host, names, limit, lease)
  local refused = check_agent(agent, host)
  if refused then return refused end
  if #names == 0 or #names > MOST_NAMES then return refusal('InvalidTask', 'a claim names 1 to 100 types', {field = 'types'}) end
  for _, type in ipairs(names) do
    if #type > 64 or not string.find(type, TYPE_NAME) then return refusal('InvalidTask', 'not a task type', {field = 'types'}) end
  end
  if not limit or limit < 1 or limit > MOST_CLAIMS or limit % 1 ~= 0 then
    return refusal('InvalidTask', 'an integer from 1 to 1,000', {field = 'limit'})
  end
  if lease and not (lease >= 1) then return refusal('InvalidTask', 'above 0', {field = 'lease'}) end
end

-- distinct(first, last): the names among these arguments. Not unpacked: nobody has counted them yet.
local function distinct(first, last)
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
