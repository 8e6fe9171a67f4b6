"""The files of a ``.loki`` folder: how people and other tools look at the queue. Redis stays the only truth."""
