"""The options that several commands share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from batchcap.cli.configuration.configuration import on_command_line
from batchcap.cli.parsing import (
    parse_duration,
    parse_max_jobs,
    parse_rate,
    parse_size,
)
from batchcap.domain.errors import UsageError
from batchcap.domain.settings import (
    ListenAddress,
    Settings,
    parse_listen,
)
from batchcap.providers import PROVIDERS
from batchcap.providers.registry import documented_rates

OnExisting = Literal["download", "skip", "fail"]
HeyGenApi = Literal["auto", "v3", "v2"]

_OUTPUT = Group("Output and log")
SPEED = Group("Speed and limits")
ROWS = Group("Rows")
_WEBHOOKS = Group("Webhooks")
_NETWORK = Group("Network")

ProxyOption = Annotated[
    str,
    Parameter(
        group=_NETWORK,
        help="An http:// proxy for all requests; without it, HTTPS_PROXY and its like decide.",
    ),
]
CaOption = Annotated[
    Path | None,
    Parameter(
        name="--ca", group=_NETWORK, help="PEM file of certificates to trust beside the system's."
    ),
]

Out = Annotated[
    Path,
    Parameter(
        name=["--out", "--dir", "-o"],
        help="The output folder; the ledger is in DIR/.batchcap/.",
    ),
]
SandboxFlag = Annotated[
    bool,
    Parameter(
        negative="", help="Run against built-in simulators: no account, no keys, no network."
    ),
]


@Parameter(name="*")
@dataclass(frozen=True)
class ManifestOptions:
    """How to read manifests."""

    name: Annotated[str, Parameter(group=ROWS, help="Path below DIR, from the row's fields.")] = (
        "{provider}/{source_id}.{language}.vtt"
    )
    to: Annotated[
        str,
        Parameter(group=ROWS, help="Target languages for Mux rows that name none, like es;ja."),
    ] = ""
    provider: Annotated[
        str,
        Parameter(group=ROWS, help="Provider of rows that imply none, and of a plain list of ids."),
    ] = ""
    from_: Annotated[
        str,
        Parameter(name="--from", group=ROWS, help="Source language for Mux rows that name none."),
    ] = ""
    encoding: Annotated[str, Parameter(group=ROWS, help="Encoding of the manifests.")] = "utf-8"
    sheet: Annotated[
        str,
        Parameter(group=ROWS, help="Sheet of a workbook (.xlsx, .ods); default the first."),
    ] = ""
    column: Annotated[
        list[str],
        Parameter(
            group=ROWS,
            negative="",
            help="NAME=COLUMN, such as 'Asset ID=asset_id': what a column of the file is here.",
        ),
    ] = field(default_factory=list)
    extra_columns: Annotated[
        bool,
        Parameter(
            group=ROWS,
            negative="",
            help="Columns with nearly the name of a known one are your own.",
        ),
    ] = False
    skip_invalid: Annotated[
        bool,
        Parameter(
            group=ROWS, negative="", help="Continue despite invalid rows; they end as invalid."
        ),
    ] = False


@Parameter(name="*")
@dataclass(frozen=True)
class RunOptions:
    """How to process rows."""

    rate: Annotated[
        list[str],
        Parameter(
            group=SPEED,
            negative="",
            help="BUCKET=N/s, N/min or none; buckets: mux.write, mux.read, heygen.",
        ),
    ] = field(default_factory=list)
    headroom: Annotated[
        float, Parameter(group=SPEED, help="Percent of every bucket left to other programs.")
    ] = 0.0
    max_jobs: Annotated[
        list[str],
        Parameter(
            group=SPEED, negative="", help="mux=N, jobs open at the provider at once (1000)."
        ),
    ] = field(default_factory=list)
    connections: Annotated[int, Parameter(group=SPEED, help="API requests at once.")] = 64
    downloads: Annotated[int, Parameter(group=SPEED, help="Files downloaded at once.")] = 32
    on_existing: Annotated[
        OnExisting,
        Parameter(
            group=ROWS,
            help="If the Mux asset has a track in exactly the target language. One in another "
            "region (pt-BR for pt-PT) excludes it, unless upload_to_mux=false.",
        ),
    ] = "download"
    heygen_api: Annotated[
        HeyGenApi, Parameter(group=ROWS, help="auto tries v3 once and remembers the answer.")
    ] = "auto"
    mux_robots_api: Annotated[
        Literal["v0", "v1"], Parameter(group=ROWS, help="The version of the Mux Robots API.")
    ] = "v0"
    job_timeout: Annotated[
        str, Parameter(group=ROWS, help="A job still running after this time fails its row.")
    ] = "2h"
    settle: Annotated[
        str, Parameter(group=ROWS, help="How long a create without a response may still arrive.")
    ] = "60s"
    retry_jobs: Annotated[
        int,
        Parameter(
            group=ROWS, help="New jobs (they cost) for a row whose job failed and may be retried."
        ),
    ] = 0
    max_caption: Annotated[str, Parameter(group=ROWS, help="Largest caption file, decoded.")] = (
        "64MB"
    )

    proxy: ProxyOption = ""
    ca_file: CaOption = None

    trace: Annotated[
        Path | None,
        Parameter(
            group=_NETWORK,
            help="Write every request to a HAR file, without credentials, for a bug report.",
        ),
    ] = None

    listen: Annotated[
        str,
        Parameter(
            group=_WEBHOOKS, help="HOST:PORT on which to receive webhooks; polling slows down."
        ),
    ] = ""
    public_url: Annotated[
        str,
        Parameter(group=_WEBHOOKS, help="The URL by which providers reach it, through a proxy."),
    ] = ""
    insecure_webhooks: Annotated[
        bool,
        Parameter(
            group=_WEBHOOKS, negative="", help="Accept unsigned events as hints; loopback only."
        ),
    ] = False

    def settings(self, out: Path, *, sandbox: bool) -> Settings:
        """Return the checked settings of a run.

        Raises:
            UsageError: A value is wrong; the message names its option.
        """
        self._check()
        rates, windows = self._limits(sandbox=sandbox)
        return Settings(
            out=out,
            rates=rates,
            headroom=self.headroom,
            windows=windows,
            connections=self.connections,
            downloads=self.downloads,
            options={"on_existing": self.on_existing, "heygen_api": self.heygen_api},
            job_timeout=parse_duration("--job-timeout", self.job_timeout),
            settle=parse_duration("--settle", self.settle),
            retry_jobs=self.retry_jobs,
            max_caption=parse_size("--max-caption", self.max_caption),
            listening=self._listen_address(sandbox=sandbox),
            proxy=self.proxy,
            ca_file=self.ca_file,
            trace_file=self.trace,
        )

    def _limits(self, *, sandbox: bool) -> tuple[dict[str, float | None], dict[str, int]]:
        """Return the given rates by bucket and windows by provider.

        Without --rate, the sandbox has no limits.
        """
        buckets = documented_rates(PROVIDERS.values())
        creating = [name for name, spec in PROVIDERS.items() if spec.creates_jobs]
        rates = dict(parse_rate(text, buckets) for text in self.rate)
        if sandbox and not rates:
            rates = dict.fromkeys(buckets)
        return rates, dict(parse_max_jobs(text, creating) for text in self.max_jobs)

    def _listen_address(self, *, sandbox: bool) -> ListenAddress | None:
        """Return where to receive webhooks; the sandbox sends its own directly."""
        if self.listen:
            public = "" if sandbox else self.public_url
            return parse_listen(self.listen, public, insecure=self.insecure_webhooks)
        given = {"--public-url": self.public_url, "--insecure-webhooks": self.insecure_webhooks}
        if on_command_line(given):
            raise UsageError("--public-url and --insecure-webhooks need --listen")
        return None

    def _check(self) -> None:
        if self.mux_robots_api != "v0":
            raise UsageError(
                "Mux Robots v1 is not supported: its contract is not public yet",
                hint="Leave out --mux-robots-api; v0 stays up for six months after v1's launch.",
            )
        if not 0 <= self.headroom < 100:
            raise UsageError(f"--headroom: {self.headroom} is not at least 0 and below 100")
        for option, value in (("--connections", self.connections), ("--downloads", self.downloads)):
            if value < 1:
                raise UsageError(f"{option}: {value} must be at least 1")
        if self.retry_jobs < 0:
            raise UsageError(f"--retry-jobs: {self.retry_jobs} must not be negative")


@Parameter(name="*")
@dataclass(frozen=True)
class RequestOptions:
    """How to send the requests of a command that only asks providers."""

    rate: Annotated[
        list[str],
        Parameter(group=SPEED, negative="", help="BUCKET=N/s, N/min or none."),
    ] = field(default_factory=list)
    headroom: Annotated[
        float, Parameter(group=SPEED, help="Percent of every bucket left to other programs.")
    ] = 0.0
    proxy: ProxyOption = ""
    ca_file: CaOption = None

    def settings(self, out: Path, *, sandbox: bool, settle: str = "60s") -> Settings:
        """Return the checked settings, with those of a run for the rest.

        Raises:
            UsageError: A value is wrong; the message names its option.
        """
        options = RunOptions(
            rate=self.rate,
            headroom=self.headroom,
            settle=settle,
            proxy=self.proxy,
            ca_file=self.ca_file,
        )
        return options.settings(out, sandbox=sandbox)


@Parameter(name="*")
@dataclass(frozen=True)
class OutputOptions:
    """What to print and log."""

    json: Annotated[
        bool,
        Parameter(
            group=_OUTPUT,
            negative="",
            help="Print only the summary on stdout, as one JSON object.",
        ),
    ] = False
    quiet: Annotated[
        bool,
        Parameter(
            name=["--quiet", "-q"], group=_OUTPUT, negative="", help="No progress, no messages."
        ),
    ] = False
    verbose: Annotated[
        bool,
        Parameter(
            name=["--verbose", "-v"], group=_OUTPUT, negative="", help="Log every step on stderr."
        ),
    ] = False
    no_progress: Annotated[
        bool, Parameter(group=_OUTPUT, negative="", help="No progress display.")
    ] = False
    log_file: Annotated[
        Path | None, Parameter(group=_OUTPUT, help="Log every step into a file.")
    ] = None
