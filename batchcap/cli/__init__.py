"""argv in, exit status out; nothing else.

One file a verb; `options` holds what several of them share. Heavy imports wait
until a verb is chosen, so that `--help` answers at once.
"""

from batchcap.cli.app import main

__all__ = ["main"]
