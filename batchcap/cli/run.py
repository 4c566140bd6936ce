"""`batchcap run MANIFEST...`: import the manifests, then work until every row has ended."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from batchcap.app.limits import check_limits, choose_rows
from batchcap.app.providers import check_before_import, check_excluded_tracks
from batchcap.cli import log
from batchcap.cli.choice_options import ChoiceOptions
from batchcap.cli.configuration.environment import environment
from batchcap.cli.endpoints import EndpointOptions
from batchcap.cli.manifests import fingerprints, open_manifests
from batchcap.cli.on_end import OnEnd, ending_with
from batchcap.cli.options import (
    ManifestOptions,
    Out,
    OutputOptions,
    RunOptions,
    SandboxFlag,
)
from batchcap.cli.plan import show_plan
from batchcap.cli.quality_options import QualityOptions
from batchcap.cli.run_session import RunSession
from batchcap.cli.unlisted import unlisted_note
from batchcap.domain.errors import UsageError
from batchcap.domain.models import ImportResult
from batchcap.domain.settings import Settings
from batchcap.reports.results import RESULTS
from batchcap.storage.ledger import Lock, discard_new, file, file_marks, new_ledger, open_ledger


def run(  # noqa: PLR0913  # the options of the command
    *manifests: Annotated[
        str, Parameter(help="CSV, JSON, JSONL or .xlsx; - reads standard input.")
    ],
    out: Out = Path("captions"),
    sandbox: SandboxFlag = False,
    on_end: OnEnd = "",
    dry_run: Annotated[
        bool, Parameter(negative="", help="Only show the plan, as batchcap plan does.")
    ] = False,
    manifest_options: ManifestOptions = ManifestOptions(),  # noqa: B008  # frozen
    run_options: RunOptions = RunOptions(),  # noqa: B008  # frozen
    choice_options: ChoiceOptions = ChoiceOptions(),  # noqa: B008  # frozen
    quality_options: QualityOptions = QualityOptions(),  # noqa: B008  # frozen
    output_options: OutputOptions = OutputOptions(),  # noqa: B008  # frozen
    endpoint_options: EndpointOptions = EndpointOptions(),  # noqa: B008  # frozen
) -> int:
    """Read manifests into the ledger, then work until every row has ended."""
    if not manifests:
        raise UsageError(
            "run needs a manifest", hint="batchcap run videos.csv; batchcap resume needs none."
        )
    settings = choice_options.applied(run_options.settings(out, sandbox=sandbox))
    settings = quality_options.applied(settings)
    log.set_up(output_options.verbose, output_options.log_file)
    names = list(dict.fromkeys(manifests))
    if dry_run:
        return show_plan(names, manifest_options, settings, output_options, sandbox=sandbox)
    with (
        endpoint_options.opened(quiet=output_options.quiet) as endpoints,
        ending_with(on_end, out, quiet=output_options.quiet) as ending,
        Lock(out),
    ):
        gc.disable()  # rows make no reference cycles; looking for them took a tenth of the time
        try:
            summary = import_manifests(names, manifest_options, settings, sandbox=sandbox)
        except BaseException:
            discard_new(out)
            raise
        finally:
            gc.enable()
        if not output_options.quiet:
            print(summary, file=sys.stderr)
        with closing(open_ledger(out)) as ledger:
            if not output_options.quiet and (note := unlisted_note(ledger, out, sandbox=sandbox)):
                print(f"note: {note}", file=sys.stderr)
            session = RunSession(
                ledger, settings, output_options, ending, sandbox=sandbox, endpoints=endpoints
            )
            session.choose(names)
            return session.run()


def import_manifests(
    names: Sequence[str], options: ManifestOptions, settings: Settings, *, sandbox: bool
) -> str:
    """Import every manifest that changed since its last import; returns a summary to print.

    Everything is imported in one transaction, or nothing if a row or a setting is wrong.

    Raises:
        UsageError: A manifest or a setting is wrong.
        FatalError: A credential is missing.
    """
    out, prints = settings.out, fingerprints(names, options)
    _check_not_lost(out)
    with closing(open_ledger(out)) if file(out).exists() else new_ledger(out) as ledger:
        opened = open_manifests(names, options)
        changed = [
            (name, rows)
            for (name, rows), fingerprint in zip(opened, prints, strict=True)
            if fingerprint is None or fingerprint != ledger.fingerprint(file_marks.manifest(name))
        ]

        def check() -> None:
            check_before_import(ledger, environment(), settings, sandbox=sandbox)
            if changed:
                check_excluded_tracks(ledger)
            choose_rows(ledger, settings)
            check_limits(ledger, settings, sandbox=sandbox)
            # What cannot be compared with an earlier state, such as a pipe, is not edited either.
            files = {name for (name, _), mark in zip(opened, prints, strict=True) if mark}
            ledger.mark_unlisted([name for name, _ in changed if name in files])
            for (name, _), fingerprint in zip(opened, prints, strict=True):
                ledger.set_fingerprint(file_marks.manifest(name), fingerprint or "")

        imported = ledger.import_rows(changed, skip_invalid=options.skip_invalid, check=check)
    return import_summary(imported, len(opened) - len(changed))


def _check_not_lost(out: Path) -> None:
    """Check that a folder with the results of a run has its ledger.

    Without the ledger, a run would pay for its captions again.

    Raises:
        UsageError: The ledger is gone.
    """
    if (out / RESULTS).exists() and not file(out).exists():
        raise UsageError(
            f"{out} has the {RESULTS} of an earlier run, but its ledger is gone; a new run would "
            "pay for its captions again",
            hint="batchcap rebuild MANIFEST makes the ledger anew, without a job. To start from "
            f"nothing: another --out, or remove {out / RESULTS}",
        )


def import_summary(imported: ImportResult, unchanged: int) -> str:
    """Return what an import did, as a line to print."""
    text = f"{imported.added:,} new caption{'' if imported.added == 1 else 's'} in the ledger"
    text += f", {imported.known:,} already there" if imported.known else ""
    text += f", {imported.corrected:,} corrected and pending" if imported.corrected else ""
    text += f", {imported.invalid:,} invalid" if imported.invalid else ""
    if repeats := imported.describe_repeats():
        text += f"; {repeats}"
    if unchanged:
        text += f"; skipped {unchanged} unchanged manifest{'s' if unchanged > 1 else ''}"
    return text
