-- forget_canary(id): this dead letter waits for no canary any more.
local function forget_canary(id)
  local link = redis.call('HGET', canaries, id)
  if not link then return end
  zrem(prefix .. 'dependents:' .. string.match(link, '^[^\n]*'), id)
  hdel(canaries, id)
end
