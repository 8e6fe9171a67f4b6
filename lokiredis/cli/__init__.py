"""The command line. Only click is imported here: ``lokiredis --help`` must not wait for pydantic, redis or rich."""

import sys

try:
    from .root import VERBS, main
except KeyboardInterrupt:
    # The import takes most of a short command's time, and nothing has been done yet that could be told about.
    sys.exit(130)

__all__ = ["VERBS", "main"]
