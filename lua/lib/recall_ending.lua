-- recall_ending(id, token, operation, refused): the answer that this ending got before (lib/ledger.lua); else nil and the refusal.
-- @include lib/side.lua
-- @include lib/first_attempt.lua
local function recall_ending(id, token, operation, refused)
  local history = known[id] and (side(id, 'A') or first_attempt(known[id]))
  for line in string.gmatch(history or '', '[^\n]+') do
    local words = {string.match(line, '^(%S+) %S+ %S+ %S+ %S+ %S+ (%S+) (%S+) (%S+) (%S+)')}
    if words[1] == token and words[2] == operation then
      -- What is completed is due no more.
      return words[3] .. ' ' .. words[4] .. ' ' .. (words[3] ~= 'completed' and words[5] ~= '-' and words[5] or '')
    end
  end
  return nil, refused
end
