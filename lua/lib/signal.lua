-- signal(name, data): tell whoever listens, after everything is written. Stored state decides; a lost message is harmless.
local signal, send_signals
do
  local sent = {}

  function signal(name, data)
    data.signal = name
    data.queue = string.match(prefix, '{(.*)}')
    data.at = now
    sent[#sent + 1] = cjson.encode(data)
  end

  function send_signals()
    for _, message in ipairs(sent) do redis.call('PUBLISH', signals, message) end
    sent = {}
  end
end
