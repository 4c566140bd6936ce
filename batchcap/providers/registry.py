"""What a provider declares about itself, and what it is built from.

Everything that only one provider has stands in its `ProviderSpec`. The rest of the
program takes values from it, and knows no provider by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import msgspec

from batchcap.domain.errors import FatalError
from batchcap.domain.models import Json
from batchcap.domain.protocols import KeyValueStore, Observer, Provider
from batchcap.domain.settings import Secrets, Settings, checked_url, secrets
from batchcap.manifest import Columns
from batchcap.providers.key_probe import KeyProbe
from batchcap.transport.api_client import Api
from batchcap.webhooks.event import Webhook


class BaseUrl(NamedTuple):
    """The environment variable that sets a base URL, and the URL if it is not set."""

    variable: str
    default: str


class ProviderSettings(msgspec.Struct, frozen=True):
    """The settings of one provider. `origin` is what a ledger belongs to.

    `other_urls` has the checked URLs by variable, `options` the values by name.
    """

    base_url: str
    origin: str
    loopback: bool
    secrets: Secrets
    other_urls: Mapping[str, str] = {}
    options: Mapping[str, str] = {}


class TrackRule(msgspec.Struct, frozen=True):
    """A source has one track for each primary language: `pt-BR` and `pt-PT` exclude each other.

    Tracks of one source also differ in the text of the parameter `unique`. `uploads` returns
    whether a row with these params adds a track; `hint` is the way out.
    `published` completes the sentence "each job ..." in messages.
    """

    uploads: Callable[[Json], bool]
    unique: str
    hint: str
    published: str


class AccountColumns(msgspec.Struct, frozen=True):
    """The columns of a manifest made from the account, in order; `noun` is what it lists."""

    names: tuple[str, ...]
    noun: str


class ProviderContext(msgspec.Struct, frozen=True):
    """What a provider is built from. `now` gives unix seconds."""

    api: Api
    settings: ProviderSettings
    memory: KeyValueStore
    observer: Observer
    now: Callable[[], float]


class ProviderSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One provider: an entry of `PROVIDERS`.

    A provider that also has the method of `protocols.JobHistory` can be audited, one with
    that of `protocols.AccountList` and `account` listed.
    """

    name: str
    build: Callable[[ProviderContext], Provider]
    columns: Columns
    """What its rows in a manifest are made of."""

    base_url: BaseUrl
    other_urls: tuple[BaseUrl, ...] = ()
    credentials: tuple[str, ...]
    """Environment variables without which the provider cannot be used."""
    other_secrets: tuple[str, ...] = ()
    """Environment variables with further secrets; the webhook's own is not among them."""
    headers: Callable[[Mapping[str, str]], Mapping[str, str]]
    """Makes the authenticating headers from the credentials."""
    key_probes: tuple[KeyProbe, ...] = ()
    """One for each permission that a run needs. None: whether a key is accepted cannot be shown."""

    rates: Mapping[str, float | None]
    """Requests per second of each bucket; None: no limit."""
    read: str
    """The bucket of GETs and DELETEs."""
    write: str
    """The bucket of POSTs."""
    learned: frozenset[str] = frozenset()
    """Buckets whose rate is a first guess, because the provider documents none."""
    window: int
    """Rows in work at once. If the provider creates jobs: jobs open at once."""
    source_key: Callable[[Json], str] | None = None
    """Returns, of a row's params, which captions of its source it is translated from. None: it
    has no `protocols.SourceCaptions`."""
    creates_jobs: bool = True
    """Whether rows are made by jobs that cost; if not, they name jobs that exist."""

    options: Mapping[str, str] = {}
    """Options that the provider understands, with their defaults."""
    track_rule: TrackRule | None = None
    webhook: Webhook | None = None
    account: AccountColumns | None = None
    """None: it has no list from which a manifest could be made."""
    dashboards: frozenset[str] = frozenset()
    """Hosts of its pages for users; links to them stay in messages."""

    def __post_init__(self) -> None:
        unknown = {self.read, self.write, *self.learned} - self.rates.keys()
        if unknown:
            raise ValueError(f"{self.name}: no rate for {', '.join(sorted(unknown))}")

    def configure(
        self, environment: Mapping[str, str], settings: Settings, *, sandbox: bool
    ) -> ProviderSettings:
        """Return the provider's settings.

        Raises:
            UsageError: A base URL is neither https nor on loopback.
        """
        base, loopback = _url(self.base_url, environment)
        return ProviderSettings(
            base_url=base,
            origin="sandbox" if sandbox else base,
            loopback=loopback,
            secrets=read_secrets([self], environment),
            other_urls={url.variable: _url(url, environment)[0] for url in self.other_urls},
            options={name: settings.options.get(name, self.options[name]) for name in self.options},
        )


def require_credentials(specs: Iterable[ProviderSpec], secrets: Secrets) -> None:
    """Check that every credential of some providers is there and fits into a header.

    Raises:
        FatalError: Some are missing or hold a control character; the message names the
            variables, never a value.
    """
    specs = list(specs)
    absent = {spec.name: [n for n in spec.credentials if n not in secrets] for spec in specs}
    if missing := {provider: names for provider, names in absent.items() if names}:
        needs = [f"{provider} rows need {_joined(names)}" for provider, names in missing.items()]
        variables = " ".join(f"{name}=..." for names in missing.values() for name in names)
        raise FatalError(
            f"{', and '.join(needs)} in the environment",
            hint=f"export {variables}, then: batchcap resume. "
            "To try batchcap without an account: --sandbox -o rehearsal",
        )
    names = [name for spec in specs for name in spec.credentials]
    if unusable := [name for name in names if not secrets[name].isprintable()]:
        verb = "holds" if len(unusable) == 1 else "hold"
        raise FatalError(
            f"{_joined(unusable)} {verb} a line break or another control character",
            hint=f"Set {_joined(unusable)} to the key alone, then: batchcap resume",
        )


def _joined(names: Iterable[str]) -> str:
    return " and ".join(names)


def documented_rates(providers: Iterable[ProviderSpec]) -> dict[str, float | None]:
    """Return the documented rate of every bucket."""
    return {bucket: rate for spec in providers for bucket, rate in spec.rates.items()}


def read_secrets(providers: Iterable[ProviderSpec], environment: Mapping[str, str]) -> Secrets:
    """Return the secrets of these providers that are set."""
    return secrets(environment, secret_names(providers))


def secret_names(providers: Iterable[ProviderSpec]) -> list[str]:
    """Return the variables of all secrets of these providers."""
    names: list[str] = []
    for spec in providers:
        names += [*spec.credentials, *spec.other_secrets]
        names += [spec.webhook.secret_variable] if spec.webhook else []
    return names


def _url(url: BaseUrl, environment: Mapping[str, str]) -> tuple[str, bool]:
    given = environment.get(url.variable) or url.default
    return checked_url(url.variable, given, f"Unset it for the default, {url.default}")
