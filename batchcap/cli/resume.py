"""`batchcap resume`: continue from the ledger alone."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from batchcap.app.limits import check_limits
from batchcap.app.providers import check_excluded_tracks, check_origins
from batchcap.cli import log
from batchcap.cli.choice_options import ChoiceOptions
from batchcap.cli.configuration.configuration import on_command_line
from batchcap.cli.configuration.environment import environment
from batchcap.cli.endpoints import EndpointOptions
from batchcap.cli.on_end import OnEnd, ending_with
from batchcap.cli.options import Out, OutputOptions, RunOptions, SandboxFlag
from batchcap.cli.quality_options import QualityOptions
from batchcap.cli.run_session import RunSession
from batchcap.domain.errors import UsageError
from batchcap.storage.ledger import Lock, open_ledger, require


def resume(  # noqa: PLR0913  # the options of the command
    *,
    out: Out = Path("captions"),
    sandbox: SandboxFlag = False,
    on_end: OnEnd = "",
    retry_failed: Annotated[
        bool, Parameter(negative="", help="Put failed rows back first.")
    ] = False,
    only: Annotated[
        str, Parameter(help="With --retry-failed: only rows with this error code.")
    ] = "",
    retryable: Annotated[
        bool,
        Parameter(
            negative="", help="With --retry-failed: not the rows whose failure is permanent."
        ),
    ] = False,
    run_options: RunOptions = RunOptions(),  # noqa: B008  # frozen
    choice_options: ChoiceOptions = ChoiceOptions(),  # noqa: B008  # frozen
    quality_options: QualityOptions = QualityOptions(),  # noqa: B008  # frozen
    output_options: OutputOptions = OutputOptions(),  # noqa: B008  # frozen
    endpoint_options: EndpointOptions = EndpointOptions(),  # noqa: B008  # frozen
) -> int:
    """Continue from the ledger alone, until every row has ended."""
    if not retry_failed and on_command_line({"--only": only, "--retryable": retryable}):
        raise UsageError("--only and --retryable need --retry-failed")
    settings = choice_options.applied(run_options.settings(out, sandbox=sandbox))
    settings = quality_options.applied(settings)
    log.set_up(output_options.verbose, output_options.log_file)
    require(out)
    with (
        endpoint_options.opened(quiet=output_options.quiet) as endpoints,
        ending_with(on_end, out, quiet=output_options.quiet) as ending,
        Lock(out),
        closing(open_ledger(out)) as ledger,
    ):
        check_origins(ledger, environment(), settings, sandbox=sandbox)
        if retry_failed:
            codes = ledger.failed_codes()
            if only and codes and only not in codes:
                raise UsageError(
                    f"--only: no row failed with {only!r}", hint=f"There are: {', '.join(codes)}"
                )
            check = partial(check_excluded_tracks, ledger)
            ledger.requeue_failed(only or None, check, only_retryable=retryable)
        session = RunSession(
            ledger, settings, output_options, ending, sandbox=sandbox, endpoints=endpoints
        )
        session.choose()
        check_limits(ledger, settings, sandbox=sandbox)
        return session.run()
