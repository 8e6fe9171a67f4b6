-- stopped: what refuses every claim of this agent at once, and until when (design rule 3). A SLOWDOWN and a hold must both
-- have passed.
do
  local held = rare and redis.call('GET', prefix .. 'hold:' .. agent)
  held = held and tonumber(string.match(held, '%d+')) or 0
  local slow = tonumber(state.slowdown) or 0
  if state.paused then rows = {false, 'paused', false}
  elseif slow > now then rows = {false, 'slowdown', math.max(held, slow) - now}
  elseif held > now then
    rows = {false, 'held', held - now}
    -- This call may have eaten a mark, by an agent that was not yet held when it began to wait: others may have that work.
    for _, type in ipairs(names) do
      if redis.call('EXISTS', prefix .. 'ready:' .. type, prefix .. 'delayed:' .. type) > 0 then marked[type] = true end
    end
  end
end
