"""Frozen settings from flags and environment; the only reader of the environment."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from batchcap.errors import FatalError, UsageError

OnExisting = Literal["download", "skip", "fail"]
HeyGenApi = Literal["auto", "v3", "v2"]

DEFAULT_RATES: dict[str, float | None] = {"mux.write": 1.0, "mux.read": 5.0, "heygen": 5.0}
"""Requests per second. Mux documents its own; HeyGen publishes none, so it is learned."""

LEARNED = frozenset({"heygen"})
LIFTED: dict[str, float | None] = dict.fromkeys(DEFAULT_RATES)

DEFAULT_WINDOWS = {"mux": 1000, "heygen": 2000}
"""Rows at work at once. For Mux these are jobs open at the provider (--max-jobs)."""

SECRET_NAMES = (
    "MUX_TOKEN_ID",
    "MUX_TOKEN_SECRET",
    "MUX_SIGNING_KEY",
    "MUX_PRIVATE_KEY",
    "MUX_WEBHOOK_SECRET",
    "HEYGEN_API_KEY",
    "HEYGEN_WEBHOOK_SECRET",
)


def crash_at(environment: Mapping[str, str]) -> int | None:
    """The boundary at which to crash on purpose (`failpoints`), from BATCHCAP_CRASH_AT."""
    text = environment.get("BATCHCAP_CRASH_AT", "")
    return int(text) if text.isdecimal() else None


def uvloop_wanted(environment: Mapping[str, str]) -> bool:
    """Whether uvloop runs the loop where it is installed: BATCHCAP_LOOP=asyncio says no.

    Raises `UsageError` for any other word.
    """
    word = environment.get("BATCHCAP_LOOP", "")
    if word not in {"", "uvloop", "asyncio"}:
        raise UsageError(
            f"BATCHCAP_LOOP is {word[:40]!r}", hint="Leave it unset, or: BATCHCAP_LOOP=asyncio"
        )
    return word != "asyncio"


class Secrets(Mapping[str, str]):
    """Credentials by the name of their variable; never printed."""

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


def secrets(environment: Mapping[str, str]) -> Secrets:
    """The credentials that are set; an empty one is none, and files end with a line break."""
    found = {name: environment.get(name, "").strip() for name in SECRET_NAMES}
    return Secrets({name: value for name, value in found.items() if value})


def inbox_folder(environment: Mapping[str, str]) -> Path | None:
    """Where `batchcap listen` keeps its inbox: `$XDG_STATE_HOME/batchcap`.

    A relative path is as good as none (XDG Base Directory specification), and then it
    is in the home folder; None where there is no such folder either.
    """
    for name, below in (("XDG_STATE_HOME", "batchcap"), ("HOME", ".local/state/batchcap")):
        found = Path(environment.get(name, ""))
        if found.is_absolute():
            return found / below
    return None


class Listening(msgspec.Struct, frozen=True):
    """Where webhooks are received.

    `port` 0 is any free one. `public_url` is the endpoint as the providers reach it,
    through a proxy or a tunnel. `insecure` takes events without a signature.
    """

    host: str
    port: int
    public_url: str | None = None
    insecure: bool = False


def listening(address: str, public_url: str = "", *, insecure: bool = False) -> Listening:
    """`HOST:PORT` of --listen, and --public-url where one is given.

    Raises `UsageError` that names the option; events without a signature are taken only
    where nobody else can send them.
    """
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/\[\]]+)):([0-9]{1,5})", address)
    if match is None or int(match[3]) > 65535:
        raise UsageError(
            f"--listen: {address[:80]!r} is no address",
            hint="Like this: --listen 127.0.0.1:8467, or [::1]:8467; port 0 is any free one",
        )
    host, public, near = match[1] or match[2], None, True
    if public_url:
        public, near = _plain_url(
            "--public-url", public_url, "Like this: --public-url https://hooks.example.com"
        )
    if insecure and not (_on_loopback(host) and near):
        raise UsageError(
            "--insecure-webhooks takes what anybody sends, so it is for loopback only",
            hint="Set the signing secrets instead, or leave out --public-url and listen on "
            "127.0.0.1.",
        )
    return Listening(host, int(match[3]), public, insecure)


class ProviderSettings(msgspec.Struct, frozen=True):
    """What one provider needs to know. `origin` is what a ledger belongs to."""

    base_url: str
    stream_url: str
    origin: str
    loopback: bool
    secrets: Secrets
    on_existing: OnExisting = "download"
    heygen_api: HeyGenApi = "auto"


class Settings(msgspec.Struct, frozen=True):
    """A run's settings. Rates are requests per second, durations seconds, sizes bytes."""

    out: Path
    rates: Mapping[str, float | None]
    headroom: float = 0.0
    windows: Mapping[str, int] = msgspec.field(default_factory=lambda: dict(DEFAULT_WINDOWS))
    connections: int = 64
    downloads: int = 32
    on_existing: OnExisting = "download"
    heygen_api: HeyGenApi = "auto"
    job_timeout: float = 7200.0
    settle: float = 60.0
    retry_jobs: int = 0
    max_caption: int = 64 * 1000 * 1000
    learned: frozenset[str] = LEARNED
    listening: Listening | None = None

    @property
    def share(self) -> float:
        """The part of every bucket that is not left to the user's other programs."""
        return 1 - self.headroom / 100

    def rate(self, bucket: str) -> float | None:
        """A bucket's rate, less what is left to the user's other programs."""
        rate = self.rates.get(bucket, DEFAULT_RATES.get(bucket))
        return None if rate is None else rate * self.share


def provider_settings(
    environment: Mapping[str, str],
    base_url: tuple[str, str],
    settings: Settings,
    *,
    sandbox: bool,
) -> ProviderSettings:
    """One provider's settings; `base_url` is the variable's name and its default.

    Raises `UsageError` for a base URL that is neither https nor on loopback.
    """
    base, loopback = _base_url(environment, *base_url)
    stream, _ = _base_url(environment, "MUX_STREAM_BASE_URL", "https://stream.mux.com")
    return ProviderSettings(
        base_url=base,
        stream_url=stream,
        origin="sandbox" if sandbox else base,
        loopback=loopback,
        secrets=secrets(environment),
        on_existing=settings.on_existing,
        heygen_api=settings.heygen_api,
    )


def require(provider: str, credentials: tuple[str, ...], secrets: Secrets) -> None:
    """Raise `FatalError` that names the variables where a credential is missing."""
    missing = [name for name in credentials if name not in secrets]
    if missing:
        raise FatalError(
            f"{provider} rows need {' and '.join(missing)} in the environment",
            hint=f"export {missing[0]}=..., then: batchcap resume. "
            "To try batchcap without an account: --sandbox",
            provider=provider,
        )
    for name in credentials:
        if not secrets[name].isprintable():
            raise FatalError(
                f"{name} holds a line break or another control character",
                hint=f"Set {name} to the key alone, then: batchcap resume",
                provider=provider,
            )


def _base_url(environment: Mapping[str, str], name: str, default: str) -> tuple[str, bool]:
    """A base URL without a trailing slash, and whether it is on loopback."""
    url = environment.get(name) or default
    return _plain_url(name, url, f"Unset it for the default, {default}")


def _plain_url(name: str, url: str, hint: str) -> tuple[str, bool]:
    """A checked URL without a trailing slash, and whether it is on loopback."""
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.port != 0 else None
    except ValueError:
        parts, host = urlsplit(""), None
    loopback = _on_loopback(host or "")
    if (
        not host
        or not url.isprintable()
        or " " in url
        or not (parts.scheme == "https" or (parts.scheme == "http" and loopback))
    ):
        raise UsageError(
            f"{name} must be an https URL (http only on loopback), it is {_shown(url)!r}",
            hint=hint,
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UsageError(
            f"{name} must be a plain URL without user, query or fragment",
            hint="Credentials have variables of their own.",
        )
    return url.rstrip("/"), loopback


def _shown(url: str) -> str:
    """A URL fit for a message: without anything that could be a credential."""
    return re.sub(r"//[^/]*@", "//***@", re.split(r"[?#]", url)[0])[:80]


def _on_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
