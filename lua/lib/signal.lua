-- signal(name, data): tell whoever listens, after everything is written. Stored state decides; a lost message is harmless.
local function signal(name, data)
  data.signal = name
  data.queue = string.match(prefix, '{(.*)}')
  data.at = now
  messages = messages or {}
  messages[#messages + 1] = cjson.encode(data)
end
