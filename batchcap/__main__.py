"""`python -m batchcap`."""

import sys

from batchcap.cli import main

if __name__ == "__main__":
    sys.exit(main())
