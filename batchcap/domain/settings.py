"""Settings of a run, from options and environment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from batchcap.domain.addresses import is_loopback
from batchcap.domain.errors import UsageError
from batchcap.domain.quality import QualitySettings
from batchcap.domain.selection import Selection
from batchcap.domain.workload import UnitCost


def failpoint_from_env(environment: Mapping[str, str]) -> int | None:
    """Return the number of the failpoint at which to crash, from BATCHCAP_CRASH_AT."""
    text = environment.get("BATCHCAP_CRASH_AT", "")
    return int(text) if text.isdecimal() else None


def use_uvloop(environment: Mapping[str, str]) -> bool:
    """Return whether to use uvloop if it is installed: not with BATCHCAP_LOOP=asyncio.

    Raises:
        UsageError: BATCHCAP_LOOP has another value.
    """
    value = environment.get("BATCHCAP_LOOP", "")
    if value not in {"", "uvloop", "asyncio"}:
        raise UsageError(
            f"BATCHCAP_LOOP is {value[:40]!r}", hint="Leave it unset, or: BATCHCAP_LOOP=asyncio"
        )
    return value != "asyncio"


FILE_SUFFIX = "_FILE"
"""`MUX_TOKEN_SECRET_FILE` names a file with the secret, as containers have it."""


class Secrets(Mapping[str, str]):
    """Credentials by the name of their variable. Their values are never printed."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<Secrets {sorted(self._values)}>"


def secrets(environment: Mapping[str, str], names: Iterable[str]) -> Secrets:
    """Return those of the named secrets that are set.

    An empty one counts as not set. White space around a secret is removed, because files
    end with a line break.
    """
    values = {name: environment.get(name, "").strip() for name in names}
    return Secrets({name: value for name, value in values.items() if value})


def inbox_folder(environment: Mapping[str, str]) -> Path | None:
    """Return the folder of the inbox: `$XDG_STATE_HOME/batchcap`, or the default below HOME.

    A relative path is ignored, as the XDG Base Directory specification says. Returns None if
    neither variable has an absolute path.
    """
    for name, subfolder in (("XDG_STATE_HOME", "batchcap"), ("HOME", ".local/state/batchcap")):
        base = Path(environment.get(name, ""))
        if base.is_absolute():
            return base / subfolder
    return None


class ListenAddress(msgspec.Struct, frozen=True):
    """The address on which webhooks are received.

    With `port` 0, any free port. `public_url` is the URL by which providers reach it,
    through a proxy or a tunnel. `insecure` accepts events without a signature.
    """

    host: str
    port: int
    public_url: str | None = None
    insecure: bool = False


def parse_listen(address: str, public_url: str = "", *, insecure: bool = False) -> ListenAddress:
    """Parse `HOST:PORT` of --listen, and --public-url if it is given.

    Raises:
        UsageError: A value is wrong, or `insecure` is set although other machines can
            reach the address. The message names the option.
    """
    host, port = parse_host_port("--listen", address, 8467)
    public, public_on_loopback = None, True
    if public_url:
        public, public_on_loopback = checked_url(
            "--public-url", public_url, "Like this: --public-url https://hooks.example.com"
        )
    if insecure and not (is_loopback(host) and public_on_loopback):
        raise UsageError(
            "--insecure-webhooks accepts unsigned events, so it works on loopback only",
            hint="Set the signing secrets instead, or leave out --public-url and listen on "
            "127.0.0.1.",
        )
    return ListenAddress(host, port, public, insecure)


def parse_host_port(option: str, text: str, example: int) -> tuple[str, int]:
    """Parse `HOST:PORT`, with an IPv6 address in brackets; `example` is a port for the hint.

    Raises:
        UsageError: It is none; the message names the option.
    """
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/\[\]]+)):([0-9]{1,5})", text)
    if match is None or int(match[3]) > 65535:
        raise UsageError(
            f"{option}: invalid address {text[:80]!r}",
            hint=f"Like this: {option} 127.0.0.1:{example}, or [::1]:{example}; with port 0, any "
            "free port",
        )
    return match[1] or match[2], int(match[3])


class Limits(msgspec.Struct, frozen=True):
    """How much a run may cost and how long it may take.

    `max_units` are those of the jobs that this run creates, `deadline` is in unix seconds.
    `unit_cost` is what the user expects a caption to cost.
    """

    max_units: float | None = None
    deadline: float | None = None
    unit_cost: UnitCost | None = None

    @property
    def is_set(self) -> bool:
        """Whether there is a limit."""
        return self.max_units is not None or self.deadline is not None


class Settings(msgspec.Struct, frozen=True):
    """The settings of a run: rates in requests per second, durations in seconds, sizes in bytes.

    `rates` (by bucket) and `windows` (by provider) hold what the user set; for the rest the
    provider's spec applies. `options` are those of all providers, by name.
    """

    out: Path
    rates: Mapping[str, float | None] = {}
    headroom: float = 0.0
    windows: Mapping[str, int] = {}
    connections: int = 64
    downloads: int = 32
    options: Mapping[str, str] = {}
    job_timeout: float = 7200.0
    settle: float = 60.0
    retry_jobs: int = 0
    max_caption: int = 64 * 1000 * 1000
    listening: ListenAddress | None = None
    proxy: str = ""
    """Of --proxy; it may hold a password."""
    ca_file: Path | None = None
    trace_file: Path | None = None
    """A HAR file to which every request of a run is written."""
    limits: Limits = Limits()
    selection: Selection = Selection()
    also: tuple[str, ...] = ()
    """Formats of the conversions beside each caption."""
    fetch_sources: bool = False
    """Whether the captions that are translated from are downloaded beside those that are made."""

    quality: QualitySettings | None = None
    """How the text and the times of captions are checked, None: they are not."""

    @property
    def quota_share(self) -> float:
        """The share of every bucket that is not left to the user's other programs."""
        return 1 - self.headroom / 100

    def rate(self, bucket: str, documented: float | None) -> float | None:
        """Return a bucket's rate, less what is left to the user's other programs."""
        rate = self.rates.get(bucket, documented)
        return None if rate is None else rate * self.quota_share


def checked_url(name: str, url: str, hint: str) -> tuple[str, bool]:
    """Return a URL without its trailing slashes, and whether it is on loopback.

    Raises:
        UsageError: It is neither https nor on loopback, or has user, query or fragment;
            the message begins with `name`.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.port != 0 else None
    except ValueError:
        parts, host = urlsplit(""), None
    loopback = is_loopback(host or "")
    if (
        not host
        or not url.isprintable()
        or " " in url
        or not (parts.scheme == "https" or (parts.scheme == "http" and loopback))
    ):
        raise UsageError(
            f"{name} must be an https URL (http only on loopback), it is "
            f"{without_credentials(url)[:80]!r}",
            hint=hint,
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UsageError(
            f"{name} must be a plain URL without user, query or fragment",
            hint="Credentials have variables of their own.",
        )
    return url.rstrip("/"), loopback


def without_credentials(url: str) -> str:
    """Return a URL without anything that could be a credential, for a message."""
    # A password may hold any of / ? # by mistake.
    return re.split(r"[?#]", re.sub(r"//.*@|^[^/]*@", "//***@", url, flags=re.DOTALL))[0]
