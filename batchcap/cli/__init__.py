"""The command line: argv in, exit status out.

Each command has a file of its own, which `app` imports only when the command is chosen,
so that `--help` answers at once. Apart from the commands:

app        the commands, and the exit status of each kind of error
options    options that several commands share
parsing    rates, durations and sizes
configuration  batchcap.toml, variables, and where secrets come from
manifests  the manifests that were named, as rows
session    what run, resume and repair have in common
runtime    the event loop, and the environment of the providers
signals    Ctrl-C
streams    standard output and error
progress   the display of a running run
log        -v and --log-file
"""

from batchcap.cli.app import main

__all__ = ["main"]
