-- refusal(code, message, data): an error as a value, for callers that go on with the rest of a batch.
-- refuse(refusal): the same as this script's whole reply.
local function refusal(code, message, data)
  data = data or {}
  data.message = message
  return {code, cjson.encode(data)}
end

local function refuse(refused)
  return {err = refused[1] .. ' ' .. refused[2]}
end
