-- decide(action, id, task, by, why, detail): keep who decided what about a dead letter, and why, with the pattern of its failure.
-- In the same call as the decision itself, so that none is lost; lokiredis/files/reviews.py writes them down for people.
-- @include lib/signature.lua
-- @include lib/side.lua
-- @include lib/cut.lua
local DECISIONS_KEPT, WHY_BYTES = '20000', 2000

local function decide(action, id, task, by, why, detail)
  redis.call('XADD', decisions, 'MAXLEN', '~', DECISIONS_KEPT, '*', 'at', stamp, 'action', action, 'id', id, 'type', task[TYPE],
    'by', by, 'why', cut(why, WHY_BYTES), 'pattern', signature(side(id, 'E') or '', id), 'detail', detail)
end
