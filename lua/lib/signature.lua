-- signature(text, id): what failures of one kind have in common: the error of that task without its numbers, ids and paths. group_of(type,
-- pattern): a short name for it.
local SIGNED_BYTES, SIGNATURE_BYTES = 500, 160

-- A word without what differs from one failure to the next. Of "name=value" and the like the name stays.
local function signed_word(word, id)
  -- A task's own id is often a plain word. One or two letters are more often an article.
  if #id > 2 and string.find(word, id, 1, true) then
    local before, middle, behind = string.match(word, '^(%p*)(.-)(%p*)$')
    if middle == id then return before .. '<id>' .. behind end
  end
  -- Most words are only words.
  if not string.find(word, '[%d/\\]') and not string.find(word, '%x%x%x%x%x%x%x%x') then return word end
  local head, rest = string.match(word, '^([%a_][%a_]+[=:])(.+)$')
  if head then return head .. signed_word(rest, id) end
  local before, middle, behind = string.match(word, '^(%p*)(.-)(%p*)$')
  if string.find(word, '[/\\]') then return string.match(word, '^[("\'[]*') .. '<path>' .. string.match(word, '[)"\'%],.:;]*$') end
  if string.find(middle, '^[%d.,:]+%a?%a?$') then return before .. '<n>' .. behind end
  if string.find(middle, '%d') or (#middle >= 8 and string.find(middle, '^%x+$')) then return before .. '<id>' .. behind end
  return word
end

local function signature(text, id)
  -- The queue's own words, with the agent and its machine in them.
  text = string.gsub(string.sub(text, 1, SIGNED_BYTES), '^lost: .- did not renew', 'lost: <agent> did not renew')
  text = string.gsub(text, '^timeout: .- took longer than', 'timeout: <agent> took longer than')
  local words, bytes = {}, 0
  for word in string.gmatch(text, '[^%s%c]+') do
    word = signed_word(word, id)
    bytes = bytes + #word + 1
    if bytes > SIGNATURE_BYTES then break end
    words[#words + 1] = word
  end
  return #words > 0 and table.concat(words, ' ') or '(no error text)'
end

local function group_of(pattern)
  local hash = 5381
  for i = 1, #pattern do hash = (hash * 33 + string.byte(pattern, i)) % 4294967296 end
  return string.format('%08x', hash)
end
