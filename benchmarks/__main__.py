"""`python -m benchmarks COMMAND`: what batchcap costs, beside what others would.

compare   whole items, from the manifest to the files
download  files alone
scale     how it grows: items, requests in flight, sizes
regress   one revision against another
million   a million rows: the first request, memory, the loop, the same command again
simulate  quota and makespan, on virtual time
webhooks  webhooks beside polling, on virtual time
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

from benchmarks import compare, download, million, regress, scale

_COMMANDS = {
    "compare": compare,
    "download": download,
    "scale": scale,
    "regress": regress,
    "million": million,
}
_VIRTUAL = ("simulate", "webhooks")


def main(argv: list[str]) -> int:
    """Run one command; its exit status."""
    if argv and argv[0] in _VIRTUAL:  # batchcap itself is imported there, and nowhere else
        return int(import_module(f"benchmarks.{argv[0]}").main(argv[1:]))
    given = _parser().parse_args(argv)
    try:
        return int(_COMMANDS[given.command].main(given))
    except LookupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in _COMMANDS.items():
        module.add_options(commands.add_parser(name, description=module.__doc__))
    for name in _VIRTUAL:
        commands.add_parser(name, add_help=False)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
