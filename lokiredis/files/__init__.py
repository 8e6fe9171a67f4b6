"""The documented files of a .loki folder: reading and writing them. Redis stays the only truth."""
