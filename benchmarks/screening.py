"""Who can take part on this machine; the others are told, not forgotten."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from benchmarks.contenders import Contender


def present(contenders: Sequence[Contender]) -> list[Contender]:
    """Those whose programs and modules are installed."""
    for one in contenders:
        if missing := one.missing():
            print(f"left out: {one.name} needs {', '.join(missing)}", file=sys.stderr)
    return [one for one in contenders if not one.missing()]
