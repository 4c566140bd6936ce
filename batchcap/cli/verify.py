"""`batchcap verify`: compare every file with the ledger, and repair what is wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from batchcap.app.providers import check_origins, is_rehearsal
from batchcap.app.verify import (
    FileProblem,
    Verdict,
    check_files,
    check_folder,
    check_tasks,
    remove_temp_files,
)
from batchcap.cli import log
from batchcap.cli.command_lines import command_line
from batchcap.cli.configuration.configuration import on_command_line
from batchcap.cli.configuration.environment import environment
from batchcap.cli.endpoints import EndpointOptions, Endpoints
from batchcap.cli.manifests import open_manifests
from batchcap.cli.on_end import Ending, OnEnd, ending_with
from batchcap.cli.options import ManifestOptions, Out, OutputOptions, RunOptions, SandboxFlag
from batchcap.cli.parsing import DASH
from batchcap.cli.run_session import RunSession
from batchcap.domain.errors import UsageError
from batchcap.domain.ledger_protocols import LedgerReader
from batchcap.domain.settings import Settings
from batchcap.domain.text import printable
from batchcap.storage.ledger import Lock, open_ledger, open_reader, require

MAX_LISTED = 20
"""Temporary and extra files that are listed by name."""


def verify(
    *manifests: Annotated[str, Parameter(help="Also report their tasks that the ledger lacks.")],
    out: Out = Path("captions"),
    sandbox: SandboxFlag = False,
    repair: Annotated[
        bool, Parameter(negative="", help="Download again what is wrong; creates no job.")
    ] = False,
    on_end: OnEnd = "",
    manifest_options: ManifestOptions = ManifestOptions(),  # noqa: B008  # frozen
    run_options: RunOptions = RunOptions(),  # noqa: B008  # frozen
    output_options: OutputOptions = OutputOptions(),  # noqa: B008  # frozen
    endpoint_options: EndpointOptions = EndpointOptions(),  # noqa: B008  # frozen
) -> int:
    """Hash and parse every file, and compare it with the ledger."""
    if not repair and on_command_line({"--on-end": on_end}):
        raise UsageError("--on-end needs --repair")
    settings = run_options.settings(out, sandbox=sandbox)
    log.set_up(output_options.verbose, output_options.log_file)
    check = _Verification(manifests, settings, manifest_options, output_options, sandbox=sandbox)
    if not repair:
        _refuse_endpoints(endpoint_options)
        return check.run()
    with (
        endpoint_options.opened(quiet=output_options.quiet) as endpoints,
        ending_with(on_end, out, quiet=output_options.quiet) as ending,
    ):
        return check.repair(ending, endpoints)


def _refuse_endpoints(options: EndpointOptions) -> None:
    """Check that the command line asks for nothing that only a repair serves.

    Raises:
        UsageError: It does.
    """
    given = {"--web": options.web, "--metrics": options.metrics}
    if on_command_line(given):
        hint = "batchcap web shows a folder at any time."
        raise UsageError("--web and --metrics need --repair", hint=hint)


class _Verification:
    """One verification, which prints each problem as it is found."""

    def __init__(
        self,
        manifests: Sequence[str],
        settings: Settings,
        manifest_options: ManifestOptions,
        output_options: OutputOptions,
        *,
        sandbox: bool,
    ) -> None:
        self._manifests, self._settings = manifests, settings
        self._manifest_options, self._output_options = manifest_options, output_options
        self._sandbox = sandbox
        self._out = settings.out
        self._rehearsal = sandbox
        self._pending = 0  # rows before the check; a repair makes more

    def run(self) -> int:
        """Check, and change nothing."""
        with closing(open_reader(self._out)) as ledger:
            verdict = self._check(ledger)
            self._rehearsal = is_rehearsal(ledger)
        if Lock.holder(self._out):
            verdict.temp_files.clear()  # a run is writing them now
        self._print_extra_files(verdict)
        if self._output_options.json:
            self._print_json(verdict)
        else:
            if self._rehearsal and not self._sandbox:
                print("a rehearsal: its captions are the sandbox's")
            print(f"{self._counts(verdict)}. {self._next_step(verdict)}".rstrip())
        return 1 if verdict.kinds else 0

    def repair(self, ending: Ending, endpoints: Endpoints) -> int:
        """Check, then download what is wrong and what an earlier repair did not finish."""
        require(self._out)
        with Lock(self._out), closing(open_ledger(self._out, repairs=True)) as ledger:
            check_origins(ledger, environment(), self._settings, sandbox=self._sandbox)
            verdict = self._check(ledger, requeue=ledger.requeue_damaged)
            remove_temp_files(self._out, verdict)
            self._print_extra_files(verdict, "removed")
            if ledger.providers_with_pending():
                print(f"{self._counts(verdict)}.", file=sys.stderr)
                session = RunSession(
                    ledger,
                    self._settings,
                    self._output_options,
                    ending,
                    endpoints,
                    sandbox=self._sandbox,
                    repairs=True,
                )
                status = session.run() or (1 if verdict.kinds["unknown"] else 0)
                ending.exit_status = status
                return status
        if self._output_options.json:
            self._print_json(verdict)
        else:
            print(f"{self._counts(verdict)}.")
        status = 1 if verdict.kinds else 0
        ending.record(status, self._summary(verdict))
        return status

    def _check(
        self, ledger: LedgerReader, *, requeue: Callable[[list[int]], None] | None = None
    ) -> Verdict:
        verdict = Verdict()
        skip_invalid = self._manifest_options.skip_invalid
        for _, rows in open_manifests(self._manifests, self._manifest_options):
            check_tasks(ledger, rows, verdict, self._print, skip_invalid=skip_invalid)
        self._pending = ledger.totals().pending
        check_files(ledger, self._out, verdict, self._print, requeue=requeue)
        check_folder(ledger, self._out, verdict)
        return verdict

    def _print(self, problem: FileProblem) -> None:
        print(problem, file=sys.stderr if self._output_options.json else sys.stdout)

    def _print_extra_files(self, verdict: Verdict, temp_file: str = "temporary file") -> None:
        """List the files that belong to no row on stderr; they are not an error."""
        if self._output_options.quiet:
            return
        for label, paths, count in (
            (temp_file, verdict.temp_files, len(verdict.temp_files)),
            ("extra file", verdict.extra_files, verdict.extra_file_count),
        ):
            for path in paths[:MAX_LISTED]:
                print(f"{label}: {printable(path)}", file=sys.stderr)
            if count > MAX_LISTED:
                print(f"{label}: ... and {count - MAX_LISTED:,} more", file=sys.stderr)

    def _next_step(self, verdict: Verdict) -> str:
        if verdict.wrong or verdict.temp_files:
            purpose = "download what is wrong" if verdict.wrong else "remove the temporary files"
            repair = command_line("verify", self._out, "--repair", sandbox=self._rehearsal)
            return f"To {purpose}: {repair}"
        if verdict.kinds["unknown"]:
            names = [name for name in self._manifests if name != DASH]
            return (
                f"To get those: {command_line('run', self._out, *names, sandbox=self._rehearsal)}"
            )
        if self._pending:
            return f"To continue: {command_line('resume', self._out, sandbox=self._rehearsal)}"
        return ""

    def _print_json(self, verdict: Verdict) -> None:
        sys.stdout.write(msgspec.json.encode(self._summary(verdict)).decode() + "\n")

    def _summary(self, verdict: Verdict) -> dict[str, Any]:
        return {
            "sandbox": self._rehearsal,
            "checked": verdict.checked,
            "good": verdict.checked - verdict.wrong,
            "wrong": verdict.wrong,
            "unknown": verdict.kinds["unknown"],
            "pending": self._pending,
            **msgspec.to_builtins(verdict),
            "temp_files": [printable(path) for path in verdict.temp_files],
        }

    def _counts(self, verdict: Verdict) -> str:
        """`118 of 120 files are good: 1 missing, 1 sha256; 1 not in the ledger`."""
        good = verdict.checked - verdict.wrong
        kinds = [(kind, count) for kind, count in verdict.kinds.items() if kind != "unknown"]
        text = "no file to check"
        if verdict.checked:
            text = f"{good:,} of {verdict.checked:,} files are good"
        text += ": " + ", ".join(f"{count:,} {kind}" for kind, count in kinds) if kinds else ""
        for count, label in (
            (self._pending, "pending"),
            (verdict.kinds["unknown"], "not in the ledger"),
            (verdict.extra_file_count, "extra"),
            (len(verdict.temp_files), "temporary"),
        ):
            text += f"; {count:,} {label}" if count else ""
        return text
