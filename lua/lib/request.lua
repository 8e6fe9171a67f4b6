-- A request id's reply is remembered for 10 minutes, so that a call repeated because its reply was lost changes
-- nothing and gets the same answer (design rule 9). '' is no request.
local REMEMBERED = '600000'

local function recall(request)
  if request == '' then return nil end
  return redis.call('GET', prefix .. 'request:' .. request) or nil
end

local function remember(request, reply)
  if request ~= '' then redis.call('SET', prefix .. 'request:' .. request, reply, 'PX', REMEMBERED) end
end
