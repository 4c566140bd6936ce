"""`python -m tests.third_provider ...`: the batchcap command with a third provider."""

from __future__ import annotations

import sys

from batchcap.cli import main
from batchcap.providers import PROVIDERS
from tests.third_provider.spec import SPEC

if __name__ == "__main__":
    PROVIDERS[SPEC.name] = SPEC
    sys.exit(main())
