-- stopped: what refuses every claim of this agent at once, and until when (design rule 3). A SLOWDOWN and a hold must both
-- have passed.
do
  local held = redis.call('GET', prefix .. 'hold:' .. agent)
  held = held and tonumber(string.match(held, '%d+')) or 0
  local slow = tonumber(state.slowdown) or 0
  if state.paused then rows = {false, 'paused', false}
  elseif slow > now then rows = {false, 'slowdown', math.max(held, slow) - now}
  elseif held > now then rows = {false, 'held', held - now} end
end
