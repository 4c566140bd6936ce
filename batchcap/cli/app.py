"""The commands, and the exit status and message of each kind of error."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, CycloptsError, Parameter

from batchcap.cli.command_lines import CONFIGURATION, complete_commands, hint_for
from batchcap.cli.encoding import use_utf8
from batchcap.cli.parsing import DASH
from batchcap.cli.streams import open_streams, output_error
from batchcap.domain import failpoints
from batchcap.domain.errors import BatchcapError, UsageError
from batchcap.domain.settings import failpoint_from_env
from batchcap.domain.text import printable
from batchcap.domain.version import __version__

if TYPE_CHECKING:
    from batchcap.cli.configuration.configuration import Configuration

DONE, FAILED, USAGE, STOPPED, INTERRUPTED = 0, 1, 2, 3, 130

COMMANDS = {
    "run": """Read manifests into the ledger, then work until every row has ended.

    The same command again resumes. A further manifest adds to the same folder.""",
    "plan": """Show what a run would do: problems, jobs, requests, units, how long it takes.

    Sends nothing, but for GET requests with --check, and leaves nothing behind. Exit
    status 2 if the run would be refused.""",
    "resume": "Continue from the ledger alone, until every row has ended.",
    "status": "Show the state of a run, even while it works in another terminal.",
    "report": "Write the result of every row, even while a run works.",
    "verify": """Hash and parse every file, and compare it with the ledger.

    Exit status 1 if anything is wrong. With --repair, the exit status is that of the
    downloads.""",
    "check": """Check the text and the times of caption files, of a run or any others.

    Exit status 1 if anything was found.""",
    "convert": """Write caption files as SRT, TTML, text or JSON, beside them.

    What a format cannot hold is said.""",
    "rebuild": """Make a new ledger from manifests, files and provider, in place of a lost one.

    Give it the manifests, --name, --to and --from of the run. It creates no job and keeps
    the old ledger beside the new one. Exit status 3 if a provider could not be asked about
    every caption.""",
    "forget": """Take back rows that were not paid for: remove them from the ledger.

    Captions that were paid for stay. Rows with a job that still runs are removed only with
    --cancel. What stays is counted and named.""",
    "audit": """Compare the ledger with the provider: every paid job, any caption paid for twice.

    Only reads. Exit status 1 if a caption was paid for twice, 3 if the provider could not
    be asked.""",
    "config": """Show what variables and files set, and where; secrets as "set".

    batchcap.toml, the user's own file, profiles and variables: docs/configuration.md.""",
    "listen": """Receive webhooks for all runs on this machine, and keep them for 31 days.

    A provider sends all events of an environment to one endpoint; runs read them from this
    inbox and poll less. Works until Ctrl-C.""",
    "web": """Serve the report of a folder in the browser, alive while a run works there.

    Only reads. On another host than loopback, readers need the token that it prints.""",
    "login": """Try a provider's key with GET requests, and show what it may do.

    Stores nothing. Exit status 3 if the key is not accepted or lacks a permission.""",
    "doctor": """Look for what is wrong with machine, network, keys and folder, and what to do.

    Creates and changes nothing at the providers. Exit status 1 if there is a problem.""",
    "demo": """Run the demo manifest on the built-in simulators: no account, no keys, no network.

    2,100 captions of both providers. Interrupted, the same command resumes.""",
    "sandbox": """Serve both providers on loopback and print the environment that points to them.

    Works until Ctrl-C. In another terminal: paste the environment, then batchcap run.""",
}
"""The help of each command. It stands here so that `--help` imports none of them."""

app = App(
    name="batchcap",
    help="Thousands of translated captions from Mux and HeyGen, as files, each paid for once.",
    help_format="plaintext",  # importing Markdown takes a fifth of the time of --help
    version=__version__,
    version_flags=["--version", "-V"],
)
for command, text in COMMANDS.items():
    app.command(f"batchcap.cli.{command}:{command}", name=command, help=text)

_CONFIGURATION = "Configuration"

MANIFEST_COMMANDS = {
    "mux": """Write a manifest of the account's assets, with their source tracks.

    Leaves out captions that exist. An interrupted walk continues with the same command.""",
    "heygen": """Write a manifest of the account's translations.

    An interrupted walk continues with the same command.""",
}
manifest = App(name="manifest", help="Write a manifest of what is in your account.")
for command, text in MANIFEST_COMMANDS.items():
    manifest.command(f"batchcap.cli.manifest:{command}", name=command, help=text)
app.command(manifest)


@app.meta.default
def configure(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    config: Annotated[
        Path | None, Parameter(group=_CONFIGURATION, help="Read this file, not ./batchcap.toml.")
    ] = None,
    profile: Annotated[
        str, Parameter(group=_CONFIGURATION, help="Use [profiles.NAME] of the configuration.")
    ] = "",
) -> object:
    """Return what variables and files set, and the command line of the command itself."""
    from batchcap.cli.configuration.configuration import load  # not for --help

    CONFIGURATION.set(
        (
            *(("--config", str(config)) if config else ()),
            *(("--profile", profile) if profile else ()),
        )
    )
    return load(app, os.environ, config, profile), tokens


def main(argv: Sequence[str] | None = None, *, configured: bool = True) -> int:
    """Run one command; returns its exit status.

    If it is not `configured`, only the command line counts: no variable of an option, no file.
    """
    open_streams()
    use_utf8()
    failpoints.arm(failpoint_from_env(os.environ))
    arguments = [DASH if argument == "-" else argument for argument in argv or sys.argv[1:]]
    # In a context of its own: what the command line sets is not left to the next command.
    status = copy_context().run(_Call().run, arguments, configured=configured)
    if (error := output_error()) is None:
        return status
    message = f"cannot write standard output: {error.strerror or error}"
    _print_error(message, "Free disk space, or write to another place.", STOPPED)
    return max(status, STOPPED)


class _Call:
    """One command, and what is known of it when an error has to be explained."""

    def __init__(self) -> None:
        self._name = ""
        self._values: Mapping[str, Any] = {}
        self._configuration: Configuration | None = None

    def run(self, arguments: Sequence[str], *, configured: bool) -> int:
        """Run the command; returns its exit status, and prints why it could not."""
        try:
            result = self._configured(arguments) if configured else self._command(arguments)
        except CycloptsError as error:
            return _print_error(str(error), "batchcap --help lists the commands.", USAGE)
        except BatchcapError as error:
            return self._print(error)
        except sqlite3.Error as error:
            hint = "Free disk space or fix permissions, then run the same command again."
            return _print_error(f"the ledger cannot be used: {error}", hint, STOPPED)
        except KeyboardInterrupt:
            print(
                "stopped: nothing is lost\nhint: To go on, give the same command again.",
                file=sys.stderr,
            )
            return INTERRUPTED
        return result if isinstance(result, int) else DONE

    def _configured(self, arguments: Sequence[str]) -> object:
        """Run the command with what variables and files set."""
        function, bound, _ = app.meta.parse_args(
            arguments, exit_on_error=False, print_error=False, end_of_options_delimiter=""
        )
        result = function(*bound.args, **bound.kwargs)
        if function is not configure:  # --help or --version
            return DONE
        from batchcap.cli.configuration.configuration import configured  # not for --help

        configuration, tokens = result
        self._configuration = configuration
        for warning in configuration.warnings:
            print(f"warning: {printable(warning)}", file=sys.stderr)
        with configured(configuration), _config_of_app(configuration.apply):
            return self._command(tokens)

    def _command(self, arguments: Sequence[str]) -> object:
        command, bound, _ = app.parse_args(arguments, exit_on_error=False, print_error=False)
        bound.apply_defaults()
        self._name = command.__name__
        self._values = {"sandbox": self._name == "demo", **bound.arguments}
        return command(*bound.args, **bound.kwargs)

    def _print(self, error: BatchcapError) -> int:
        status = USAGE if isinstance(error, UsageError) else STOPPED
        hint = error.hint if status == USAGE else hint_for(self._name, error.hint)
        message = error.message
        if self._configuration is not None:
            message = self._configuration.located(message)
        message, hint = _completed(message, self._values), _completed(hint, self._values)
        return _print_error(message, hint, status)


@contextmanager
def _config_of_app(source: Callable[..., None]) -> Iterator[None]:
    """Let cyclopts ask a source for the options that are not on the command line."""
    app.config = (source,)
    try:
        yield
    finally:
        app.config = ()


def _completed(text: str, values: Mapping[str, Any]) -> str:
    """Name the folder and the sandbox, if the command has any, in the commands of a message."""
    folder = values.get("dir_", values.get("out"))
    if not isinstance(folder, Path):
        return text
    return complete_commands(text, folder, sandbox=values.get("sandbox") is True)


def _print_error(message: str, hint: str, status: int) -> int:
    # The line breaks are batchcap's own (a manifest has many problems); the text between
    # them may come from a file or a server.
    print("error:", "\n".join(map(printable, message.split("\n"))), file=sys.stderr)
    if hint:
        print(f"hint: {printable(hint)}", file=sys.stderr)
    return status
