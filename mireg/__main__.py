"""`python -m mireg`."""

import sys

from .auditing.command import main

if __name__ == "__main__":
    sys.exit(main())
