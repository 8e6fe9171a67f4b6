-- mark_all(): a mark for every type with ready tasks. The number of types is bounded (lib/limits.lua).
local function mark_all()
  for _, type in ipairs(redis.call('HKEYS', types)) do
    if redis.call('EXISTS', prefix .. 'ready:' .. type, prefix .. 'delayed:' .. type) > 0 then mark(type) end
  end
end
