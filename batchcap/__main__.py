"""The installed command, and `python -m batchcap`.

Until `main` runs, Ctrl-C prints a traceback, so nothing is imported here that takes time.
"""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False  # without `typing`, see above

if TYPE_CHECKING:
    from types import FrameType


def main() -> int:
    """Run the command line; returns its exit status.

    Until the commands are imported, Ctrl-C quits at once and without a traceback, because
    nothing has started. Once the command has ended, Ctrl-C changes nothing: Python would reset
    it while it shuts down, and the process would end by the signal, whatever the command did.
    """
    handler = signal.getsignal(signal.SIGINT)
    is_default = handler is signal.default_int_handler  # not so with nohup, which ignores it
    if is_default:
        signal.signal(signal.SIGINT, _quit)
    from batchcap.cli.app import main as run_command  # takes 0.1 s

    try:
        try:
            if is_default:
                signal.signal(signal.SIGINT, signal.default_int_handler)
            return run_command()
        finally:
            if is_default:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:  # also one that came just before it was ignored
        return 128 + signal.SIGINT


def _quit(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
