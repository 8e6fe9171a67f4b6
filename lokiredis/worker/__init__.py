"""A worker that people leave running: it claims, runs handlers, renews leases, hands back what it can't end."""

from .context import Context, ThreadContext
from .outcomes import GiveUp, HandBack
from .worker import Worker

__all__ = ["Context", "GiveUp", "HandBack", "ThreadContext", "Worker"]
