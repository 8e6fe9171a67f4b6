-- to_do: the jobs that this call has found, in that order: a cascade must tell each task the parent that was reached first.
-- lib/carry_on.lua does them before the call ends, and writes down what it does not get to. A job has its kind, parent and
-- key; found, the first of that set where this call has looked already; and text, as it is written down, where that is not
-- its kind and its parent.
local to_do = {}
-- of_cascade: what this call itself was to cancel through: the id, and each that was cancelled for one of them. What it carries
-- on of others' cascades on the way is not the answer to its caller.
local of_cascade = {}
local WORK_AT_ONCE = 100
