"""Measure what batchcap costs, beside other ways of doing the same work.

Without a command, all tables of benchmarks/README.md are measured, one after the other.

simulate  requests and makespan at the documented limits, on virtual time
webhooks  webhooks beside polling, on virtual time
network   whole items over TLS with a round trip of 100 ms: wall time
cpu       whole items on loopback: CPU, memory and requests of each
million   a manifest of a million rows: the first request, memory, the same command again
web       the live page: CPU of a run with three readers of its events
page      the HTML report of many captions: its size, and how soon it can be worked with
quality   the quality check of one caption: parsing, findings
regress   one revision against another; no table of the README
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib import import_module
from types import ModuleType

from benchmarks.options import add_output, add_update_readme
from benchmarks.reporting import publish
from benchmarks.workload import NotDoneError

TABLES = ("simulate", "webhooks", "network", "cpu", "million", "web", "page", "quality")
COMMANDS = (*TABLES, "regress")


def main(argv: list[str]) -> int:
    """Run one command, or all tables. Return the exit status: 1 if a bar was missed."""
    if argv and argv[0] in COMMANDS:
        return _run(argv)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", nargs="?", choices=COMMANDS, help="default: all tables")
    add_output(parser)
    add_update_readme(parser)
    if parser.parse_args(argv).command:
        parser.error("options come after the command")
    return max(_run_apart(name, argv) for name in TABLES)


def parse(argv: list[str]) -> tuple[ModuleType, argparse.Namespace]:
    """Import the command that `argv` starts with, and no other; parse the rest with its options.

    The other commands import more of batchcap, which would add to this process's memory.
    """
    name, *arguments = argv
    module = import_module(f"benchmarks.{name}")
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks {name}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_output(parser)
    if name in TABLES:
        add_update_readme(parser)
    module.add_options(parser)
    return module, parser.parse_args(arguments)


def _run(argv: list[str]) -> int:
    module, options = parse(argv)
    try:
        report = module.measure(options)
        publish(report, options.out, update_readme=options.update_readme)
    except (LookupError, NotDoneError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return int(report.failed)


def _run_apart(name: str, argv: list[str]) -> int:
    """Run a table in its own process: no peak below this process's memory can be measured."""
    return subprocess.run([sys.executable, "-m", "benchmarks", name, *argv], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
