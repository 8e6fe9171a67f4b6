"""A plain-Python model of sections 3 and 4 of the design: the second opinion, written without a look at the Lua.

Where the design is silent the model says so in a comment that begins with "Silent:".
"""
