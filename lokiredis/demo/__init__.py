"""``lokiredis demo``: a fleet of agent processes works through a real plan, with everything that goes wrong in one.

``plan``          who works, on what, and what is meant to go wrong
``agent``         what a worker runs for a task; ``artefact`` is the work that it does
``director``      starts the fleet of workers, follows the queue, kills an agent, ends everything
``evidence``      what was seen, and ``expectations`` what must be in it
``screen``        the live picture; ``happenings`` its news; ``summary`` what is told at the end

All of it goes through ``lokiredis worker`` and the public Python API, as a user's own agents would. Nothing is imported
here, so that ``lokiredis --help`` stays fast.
"""
