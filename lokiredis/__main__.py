"""``python -m lokiredis`` is the command ``lokiredis``."""

from lokiredis.cli import main

if __name__ == "__main__":
    main()
