"""`batchcap verify`: every file against the ledger; mend what is wrong; a lost ledger anew."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from batchcap.cli.options import ManifestOptions, Out, SandboxFlag, ScreenOptions, WorkOptions
from batchcap.cli.run import STDIN
from batchcap.errors import UsageError

if TYPE_CHECKING:
    from batchcap.settings import Settings
    from batchcap.verification import Fault, Verdict

_SHOWN = 20


def verify(
    *manifests: Annotated[str, Parameter(help="Tells their tasks that the ledger lacks.")],
    out: Out = Path("captions"),
    sandbox: SandboxFlag = False,
    repair: Annotated[
        bool, Parameter(negative="", help="Fetch again what is wrong; no job is created.")
    ] = False,
    rebuild: Annotated[
        bool,
        Parameter(
            negative="",
            help="Make a lost ledger anew from manifest, files and provider; nothing is created.",
        ),
    ] = False,
    reading: ManifestOptions = ManifestOptions(),  # noqa: B008  # frozen
    work: WorkOptions = WorkOptions(),  # noqa: B008  # frozen
    screen: ScreenOptions = ScreenOptions(),  # noqa: B008  # frozen
) -> int:
    """Hash and parse every file, and compare it with the ledger.

    Exit status 1 where something is wrong. With --repair, that of the fetching.
    """
    from batchcap import log
    from batchcap.cli.rebuild import rebuilt

    if repair and rebuild:
        raise UsageError("--repair and --rebuild do not go together", hint="First --rebuild.")
    settings = work.settings(out, sandbox=sandbox)
    log.set_up(screen.verbose, screen.log_file)
    if rebuild:
        return rebuilt(manifests, settings, reading, screen, sandbox=sandbox)
    check = _Check(manifests, settings, reading, screen, sandbox=sandbox)
    return check.and_repair() if repair else check.only()


class _Check:
    """One verification, told as it goes."""

    def __init__(
        self,
        manifests: Sequence[str],
        settings: Settings,
        reading: ManifestOptions,
        screen: ScreenOptions,
        *,
        sandbox: bool,
    ) -> None:
        self._manifests, self._settings, self._reading = manifests, settings, reading
        self._screen, self._sandbox = screen, sandbox
        self._out = settings.out

    def only(self) -> int:
        """Check, and leave everything as it is."""
        from batchcap.ledger import Lock, read_only

        with closing(read_only(self._out)) as connection:
            verdict = self._made(connection, repair=False)
        if Lock.holder(self._out):
            verdict.leftovers.clear()  # they are at work
        self._mention(verdict)
        if self._screen.json:
            self._print_json(verdict)
        else:
            print(f"{_counts(verdict)}. {self._next_step(verdict)}".rstrip())
        return 1 if verdict.kinds else 0

    def and_repair(self) -> int:
        """Check, then fetch what is wrong, and what an earlier repair did not come to."""
        from batchcap.cli.session import Session
        from batchcap.ledger import Lock, connect, require, waiting
        from batchcap.verification import remove_leftovers

        require(self._out)
        with Lock(self._out), closing(connect(self._out, create=False)) as connection:
            verdict = self._made(connection, repair=True)
            remove_leftovers(self._out, verdict)
            self._mention(verdict, "removed")
            if waiting(connection, repairs=True):
                print(f"{_counts(verdict)}.", file=sys.stderr)
                session = Session(
                    connection, self._settings, self._screen, sandbox=self._sandbox, repairs=True
                )
                return session.run() or (1 if verdict.kinds["unknown"] else 0)
        if self._screen.json:
            self._print_json(verdict)
        else:
            print(f"{_counts(verdict)}.")
        return 1 if verdict.kinds else 0

    def _made(self, connection: sqlite3.Connection, *, repair: bool) -> Verdict:
        from batchcap.cli.run import sources
        from batchcap.ledger import damaged
        from batchcap.verification import Verdict, check_files, check_folder, check_tasks

        verdict = Verdict()
        try:
            for _, rows in sources(self._manifests, self._reading):
                skip = self._reading.skip_invalid
                check_tasks(connection, rows, verdict, self._tell, skip_invalid=skip)
            check_files(connection, self._out, verdict, self._tell, repair=repair)
            check_folder(connection, self._out, verdict)
        except sqlite3.Error as error:
            raise damaged(self._out, error) from None
        return verdict

    def _tell(self, fault: Fault) -> None:
        print(fault, file=sys.stderr if self._screen.json else sys.stdout)

    def _mention(self, verdict: Verdict, leftover: str = "leftover") -> None:
        """What is no fault, on stderr."""
        from batchcap.log import printable

        if self._screen.quiet:
            return
        for what, paths, count in (
            (leftover, verdict.leftovers, len(verdict.leftovers)),
            ("no row's", verdict.unowned, verdict.unowned_files),
        ):
            for path in paths[:_SHOWN]:
                print(f"{what}: {printable(path)}", file=sys.stderr)
            if count > _SHOWN:
                print(f"{what}: ... and {count - _SHOWN:,} more", file=sys.stderr)

    def _next_step(self, verdict: Verdict) -> str:
        from batchcap.cli.session import command

        if verdict.wrong or verdict.leftovers:
            mend = command("verify", self._out, "--repair", sandbox=self._sandbox)
            return (
                f"{mend} {'fetches what is wrong' if verdict.wrong else 'removes the leftovers'}."
            )
        if verdict.kinds["unknown"]:
            manifests = [name for name in self._manifests if name != STDIN]
            return f"{command('run', self._out, *manifests, sandbox=self._sandbox)} gets those."
        return ""

    def _print_json(self, verdict: Verdict) -> None:
        import msgspec

        from batchcap.log import printable

        shown = {
            "checked": verdict.checked,
            "good": verdict.checked - verdict.wrong,
            "wrong": verdict.wrong,
            "unknown": verdict.kinds["unknown"],
            **msgspec.to_builtins(verdict),
            "leftovers": [printable(path) for path in verdict.leftovers],
        }
        sys.stdout.write(msgspec.json.encode(shown).decode() + "\n")


def _counts(verdict: Verdict) -> str:
    """`118 of 120 files are good: 1 missing, 1 sha256; 1 task not in the ledger`."""
    good = verdict.checked - verdict.wrong
    kinds = [(kind, count) for kind, count in verdict.kinds.items() if kind != "unknown"]
    words = f"{good:,} of {verdict.checked:,} files are good"
    words += ": " + ", ".join(f"{count:,} {kind}" for kind, count in kinds) if kinds else ""
    for count, what in (
        (verdict.kinds["unknown"], "not in the ledger"),
        (verdict.unowned_files, "of no row"),
        (len(verdict.leftovers), "left over"),
    ):
        words += f"; {count:,} {what}" if count else ""
    return words
