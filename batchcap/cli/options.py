"""The options that verbs share, as the contract names them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from batchcap.errors import UsageError
from batchcap.settings import (
    LEARNED,
    LIFTED,
    HeyGenApi,
    Listening,
    OnExisting,
    Settings,
    listening,
    parse_duration,
    parse_rate,
    parse_size,
    parse_windows,
)

_SCREEN = Group("Screen and log")
_SPEED = Group("Speed and limits")
_ROWS = Group("Rows")
_WEBHOOKS = Group("Webhooks")

Out = Annotated[
    Path,
    Parameter(name=["--out", "-o"], help="The output folder; the ledger lives in DIR/.batchcap/."),
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
    """How manifests are read."""

    name: Annotated[str, Parameter(group=_ROWS, help="Path below DIR, from the row's fields.")] = (
        "{provider}/{source_id}.{language}.vtt"
    )
    to: Annotated[
        str,
        Parameter(group=_ROWS, help="Target languages for Mux rows that name none, like es;ja."),
    ] = ""
    from_: Annotated[
        str,
        Parameter(name="--from", group=_ROWS, help="Source language for Mux rows that name none."),
    ] = ""
    encoding: Annotated[str, Parameter(group=_ROWS, help="Of the manifests.")] = "utf-8"
    skip_invalid: Annotated[
        bool,
        Parameter(group=_ROWS, negative="", help="Go on past invalid rows; they end as invalid."),
    ] = False


@Parameter(name="*")
@dataclass(frozen=True)
class WorkOptions:
    """How rows are worked on."""

    rate: Annotated[
        list[str],
        Parameter(
            group=_SPEED,
            negative="",
            help="BUCKET=N/s, N/min or none; buckets: mux.write, mux.read, heygen.",
        ),
    ] = field(default_factory=list)
    headroom: Annotated[
        float, Parameter(group=_SPEED, help="Percent of every bucket left to other programs.")
    ] = 0.0
    max_jobs: Annotated[
        list[str],
        Parameter(
            group=_SPEED, negative="", help="mux=N, jobs open at the provider at once (1000)."
        ),
    ] = field(default_factory=list)
    connections: Annotated[int, Parameter(group=_SPEED, help="API requests in the air.")] = 64
    downloads: Annotated[int, Parameter(group=_SPEED, help="Files fetched at once.")] = 32
    on_existing: Annotated[
        OnExisting,
        Parameter(group=_ROWS, help="The Mux asset has a track in the target language already."),
    ] = "download"
    heygen_api: Annotated[
        HeyGenApi, Parameter(group=_ROWS, help="auto asks v3 once and remembers.")
    ] = "auto"
    mux_robots_api: Annotated[
        Literal["v0", "v1"], Parameter(group=_ROWS, help="The version of the Mux Robots API.")
    ] = "v0"
    job_timeout: Annotated[
        str, Parameter(group=_ROWS, help="A job that has not ended by then fails its row.")
    ] = "2h"
    settle: Annotated[
        str, Parameter(group=_ROWS, help="How long a create without an answer may still arrive.")
    ] = "60s"
    retry_jobs: Annotated[
        int,
        Parameter(group=_ROWS, help="New jobs (they cost) where one errored and may be retried."),
    ] = 0
    max_caption: Annotated[
        str, Parameter(group=_ROWS, help="Decoded size above which a file is refused.")
    ] = "64MB"

    listen: Annotated[
        str,
        Parameter(
            group=_WEBHOOKS, help="HOST:PORT on which webhooks are received; polling slows down."
        ),
    ] = ""
    public_url: Annotated[
        str, Parameter(group=_WEBHOOKS, help="How the providers reach it, through a proxy.")
    ] = ""
    insecure_webhooks: Annotated[
        bool,
        Parameter(
            group=_WEBHOOKS, negative="", help="Take unsigned events as hints; on loopback only."
        ),
    ] = False

    def settings(self, out: Path, *, sandbox: bool) -> Settings:
        """As checked settings. Raises `UsageError` that names the option."""
        self._check()
        rates = {
            **(LIFTED if sandbox and not self.rate else {}),
            **dict(map(parse_rate, self.rate)),
        }
        return Settings(
            out=out,
            rates=rates,
            headroom=self.headroom,
            windows=parse_windows(self.max_jobs),
            connections=self.connections,
            downloads=self.downloads,
            on_existing=self.on_existing,
            heygen_api=self.heygen_api,
            job_timeout=parse_duration("--job-timeout", self.job_timeout),
            settle=parse_duration("--settle", self.settle),
            retry_jobs=self.retry_jobs,
            max_caption=parse_size("--max-caption", self.max_caption),
            learned=LEARNED - rates.keys(),
            listening=self._listening(sandbox=sandbox),
        )

    def _listening(self, *, sandbox: bool) -> Listening | None:
        """Where to receive webhooks. The sandbox sends its own to us directly."""
        if self.listen:
            public = "" if sandbox else self.public_url
            return listening(self.listen, public, insecure=self.insecure_webhooks)
        if self.public_url or self.insecure_webhooks:
            raise UsageError("--public-url and --insecure-webhooks go with --listen")
        return None

    def _check(self) -> None:
        if self.mux_robots_api != "v0":
            raise UsageError(
                "Mux Robots v1 is not supported: its contract is not public yet",
                hint="Leave out --mux-robots-api; v0 stays up for six months after v1's launch.",
            )
        if not 0 <= self.headroom < 100:
            raise UsageError(f"--headroom: {self.headroom} is not between 0 and 100")
        for option, value in (("--connections", self.connections), ("--downloads", self.downloads)):
            if value < 1:
                raise UsageError(f"{option}: {value} is not above 0")
        if self.retry_jobs < 0:
            raise UsageError(f"--retry-jobs: {self.retry_jobs} is below 0")


@Parameter(name="*")
@dataclass(frozen=True)
class ScreenOptions:
    """What is shown, and where."""

    json: Annotated[
        bool,
        Parameter(
            group=_SCREEN,
            negative="",
            help="The last line on stdout is the summary as JSON, and nothing else is there.",
        ),
    ] = False
    quiet: Annotated[
        bool,
        Parameter(name=["--quiet", "-q"], group=_SCREEN, negative="", help="No progress, no talk."),
    ] = False
    verbose: Annotated[
        bool,
        Parameter(
            name=["--verbose", "-v"], group=_SCREEN, negative="", help="Every step, on stderr."
        ),
    ] = False
    no_progress: Annotated[
        bool, Parameter(group=_SCREEN, negative="", help="No progress display.")
    ] = False
    log_file: Annotated[Path | None, Parameter(group=_SCREEN, help="Every step, into a file.")] = (
        None
    )
