-- pass_on: a mark for each type that still has work, or soon will: this call may have eaten the one that told of it.
if awaited then
  for i, type in ipairs(names) do
    local words = read_breakers[type]
    local soon = scores and scores[i] and tonumber(scores[i]) <= now + SOON
    if words and words[B_STATE] == 'open' then
      -- @include lib/breaker_due.lua
      soon = soon or breaker_due(type, words) <= now + SOON
    end
    -- Work that is left over is not for this type alone to wait for: whoever wakes carries it on.
    marked[type] = soon or left or not all_done or nil
  end
  for _, list in ipairs(lists) do
    if not gates[list.type] and (#granted < #chosen_ids or list.more or list.found[list.at]) then marked[list.type] = true end
  end
end
