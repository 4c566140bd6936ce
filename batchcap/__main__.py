"""The installed command, and `python -m batchcap`."""

import os
import signal
import sys
from types import FrameType


def main() -> int:
    """Run the command line; returns its exit status.

    Until the commands are imported, Ctrl-C quits at once and without a traceback, because
    nothing has started. The same holds when the command has ended.
    """
    handler = signal.getsignal(signal.SIGINT)
    is_default = handler is signal.default_int_handler  # not so with nohup, which ignores it
    if is_default:
        signal.signal(signal.SIGINT, _quit)
    from batchcap.cli.app import main as run_command  # takes 0.1 s

    try:
        if is_default:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return run_command()
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    finally:
        if is_default:
            signal.signal(signal.SIGINT, _quit)


def _quit(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
