-- to_do: leaves the work `job` for lib/carry_on.lua, in the order in which it was found: a cascade must tell each task the
-- parent that was reached first, and jobs of one moment would go by their names.
rare = true
state.jobs = (state.jobs or 0) + 1
zadd(todo, string.format('%.3f', now + state.jobs / 1000), job)
