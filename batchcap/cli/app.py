"""The verbs, and what each kind of error means to the shell."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from batchcap import __version__, failpoints
from batchcap.cli.audit import audit
from batchcap.cli.listen import listen
from batchcap.cli.report import report
from batchcap.cli.resume import resume
from batchcap.cli.run import STDIN, run
from batchcap.cli.sandbox import sandbox
from batchcap.cli.status import status
from batchcap.cli.verify import verify
from batchcap.errors import BatchcapError, UsageError
from batchcap.log import printable
from batchcap.settings import crash_at

DONE, FAILED, USAGE, STOPPED, INTERRUPTED = 0, 1, 2, 3, 130

app = App(
    name="batchcap",
    help="Thousands of translated captions from Mux and HeyGen, as files, each paid for once.",
    help_format="plaintext",  # Markdown takes a fifth of the time of --help to import
    version=__version__,
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
for verb in (run, resume, status, report, verify, audit, listen, sandbox):
    app.command(verb)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status of the contract."""
    _fill_standard()
    failpoints.arm(crash_at(os.environ))
    try:
        words = [STDIN if word == "-" else word for word in argv or sys.argv[1:]]
        result = app(words, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        return _told("error", str(error), "batchcap --help lists what there is.", USAGE)
    except UsageError as error:
        return _told("error", error.message, error.hint, USAGE)
    except (BatchcapError, sqlite3.Error) as error:
        return _stopped(error)
    except KeyboardInterrupt:
        return _told("stopped", "nothing is lost", "The same command goes on.", INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        return FAILED
    return result if isinstance(result, int) else DONE


def _fill_standard() -> None:
    """Nothing of ours takes the place of a standard stream that is closed (`<&-`)."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _stopped(error: BatchcapError | sqlite3.Error) -> int:
    if isinstance(error, BatchcapError):
        return _told("error", error.message, error.hint, STOPPED)
    hint = "Make room or mend the permissions, then the same command again."
    return _told("error", f"the ledger cannot be used: {error}", hint, STOPPED)


def _told(what: str, message: str, hint: str, status: int) -> int:
    # Lines are ours (a manifest has many problems); what is in them may be anybody's.
    print(f"{what}:", "\n".join(map(printable, message.split("\n"))), file=sys.stderr)
    if hint:
        print(f"hint: {printable(hint)}", file=sys.stderr)
    return status
