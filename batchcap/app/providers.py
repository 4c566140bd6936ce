"""Makes providers that are ready for requests, and first checks what would prevent that."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import anyio

from batchcap.domain.errors import UsageError
from batchcap.domain.ledger_protocols import Ledger, LedgerReader
from batchcap.domain.protocols import KeyValueStore, Observer, Provider
from batchcap.domain.settings import FILE_SUFFIX, Secrets, Settings
from batchcap.domain.shutdown import ShutdownToken
from batchcap.providers import PROVIDERS, ProviderContext, ProviderSettings, ProviderSpec
from batchcap.providers.registry import read_secrets, require_credentials, secret_names
from batchcap.transport.api_client import Api
from batchcap.transport.network import Network, network_settings
from batchcap.transport.rate_limiter import Bucket
from batchcap.transport.sender import HttpSender
from batchcap.webhooks.event import Webhook
from batchcap.webhooks.signing import require_secrets

MAX_SIBLINGS = 20
"""Most pairs of rows that one message lists."""


class ProviderFactory:
    """Makes providers that can be asked, each within the quota of its buckets.

    A bucket gives no turn before its `run` is started.
    """

    def __init__(
        self,
        settings: Settings,
        memory: KeyValueStore,
        providers: Mapping[str, ProviderSettings],
        network: Network,
        observer: Observer,
        now: Callable[[], float],
        stops: Mapping[str, ShutdownToken],
    ) -> None:
        self._settings, self._memory, self.network = settings, memory, network
        self._providers, self._observer, self._now = providers, observer, now
        self._stops = stops
        self._connections = anyio.Semaphore(settings.connections, fast_acquire=True)
        self.buckets: dict[str, Bucket] = {}

    async def provider(self, stack: AsyncExitStack, spec: ProviderSpec) -> Provider:
        """Return a provider, open until the stack is left."""
        settings, stop = self._providers[spec.name], self._stops[spec.name]
        observer, now = self._observer, self._now
        read, write = (self._bucket(spec, name, stop) for name in (spec.read, spec.write))
        headers = spec.headers(settings.secrets)
        sender = HttpSender(settings.base_url, headers, self.network, dashboards=spec.dashboards)
        api = Api(sender, spec.name, read=read, write=write, stop=stop, observer=observer, now=now)
        await stack.enter_async_context(api)
        return spec.build(ProviderContext(api, settings, self._memory, observer, now))

    def _bucket(self, spec: ProviderSpec, name: str, stop: ShutdownToken) -> Bucket:
        if name not in self.buckets:
            self.buckets[name] = Bucket(
                name,
                self._settings.rate(name, spec.rates[name]),
                connections=self._connections,
                stop=stop,
                memory=self._memory,
                observer=self._observer,
                now=self._now,
                adaptive=name in spec.learned - self._settings.rates.keys(),
                quota_share=self._settings.quota_share,
            )
        return self.buckets[name]


def claim_origins(ledger: KeyValueStore, providers: Mapping[str, ProviderSettings]) -> None:
    """Bind the ledger to the origin of each provider, if it is not bound yet.

    Raises:
        UsageError: The ledger belongs to another origin.
    """
    for name, provider in providers.items():
        _check_origin(name, ledger.get(_origin_key(name)), provider.origin)
    for name, provider in providers.items():
        ledger.set(_origin_key(name), provider.origin)


def check_origins(
    ledger: KeyValueStore,
    environment: Mapping[str, str],
    settings: Settings,
    *,
    sandbox: bool,
) -> None:
    """Check that all rows of the ledger, done ones too, belong to the origins of this run.

    Otherwise captions of a rehearsal would pass for those of the account.

    Raises:
        UsageError: The ledger belongs to another origin, or a base URL is unusable.
    """
    variables = {} if sandbox else environment
    for name, spec in PROVIDERS.items():
        if recorded := ledger.get(_origin_key(name)):
            current = spec.configure(variables, settings, sandbox=sandbox).origin
            _check_origin(name, recorded, current)


def is_rehearsal(ledger: LedgerReader) -> bool:
    """Return whether the rows of a ledger belong to the sandbox."""
    values = ledger.values(_origin_key(""))
    return any(values.get(_origin_key(name)) == "sandbox" for name in PROVIDERS)


def check_before_import(
    ledger: Ledger,
    environment: Mapping[str, str],
    settings: Settings,
    *,
    sandbox: bool,
) -> None:
    """Check what would stop a run at once, while the import can still be undone.

    Raises:
        UsageError: A base URL, a proxy or a signing secret is unusable, or the ledger belongs
            to another origin.
    """
    variables = {} if sandbox else environment
    pending = ledger.providers_with_pending()
    providers = {
        name: spec.configure(variables, settings, sandbox=sandbox)
        for name, spec in PROVIDERS.items()
        if name in pending
    }
    check_origins(ledger, environment, settings, sandbox=sandbox)
    network_settings(variables, settings.proxy, settings.ca_file)
    if settings.listening is not None and not sandbox:
        require_secrets(webhooks_for(providers), secrets_in(environment), settings.listening)


def check_excluded_tracks(ledger: LedgerReader) -> None:
    """Check that no two rows would put tracks on one source that exclude each other.

    Raises:
        UsageError: Two rows would; the message lists the first ones.
    """
    pairs = list(excluded_tracks(ledger))
    if pairs:
        more = len(pairs) - MAX_SIBLINGS
        shown = [f"{origin}: {text}" for origin, text, _ in pairs[:MAX_SIBLINGS]]
        shown += [f"and {more} more"] if more > 0 else []
        raise UsageError("\n".join(shown), hint=pairs[0][2])


def excluded_tracks(ledger: LedgerReader) -> Iterator[tuple[str, str, str]]:
    """Yield "file:line", text and way out for two rows whose tracks exclude each other."""
    for name, spec in PROVIDERS.items():
        if (rule := spec.track_rule) is None:
            continue
        reasons = {
            "regions and scripts do not count": ledger.regional_siblings(name),
            f"their {rule.unique} is the same": ledger.rows_with_equal(rule.unique, name),
        }
        for reason, pairs in reasons.items():
            for pair in pairs:
                if all(map(rule.uploads, pair.params)):
                    both = " and ".join(pair.languages)
                    text = f"{pair.source_id}: {both} cannot both be tracks of one asset, because"
                    yield pair.origin, f"{text} {reason}", rule.hint


def _origin_key(name: str) -> str:
    return f"origin.{name}"


def _check_origin(name: str, recorded: str | None, current: str) -> None:
    if recorded in {None, current}:
        return
    if recorded == "sandbox":
        raise UsageError(
            f"this folder holds a rehearsal: its {name} rows are the sandbox's, not {current}'s",
            hint="For the real run use another folder: --out DIR. To continue the rehearsal: "
            "--sandbox",
        )
    hint = "Use another folder: --out DIR"
    if current == "sandbox":
        hint = "Rehearse in another folder: --out DIR. To continue this run, leave out --sandbox"
    raise UsageError(f"this ledger belongs to {name} at {recorded}, not at {current}", hint=hint)


def providers_in_use(
    names: list[str], environment: Mapping[str, str], settings: Settings, *, sandbox: bool
) -> dict[str, ProviderSettings]:
    """Return the settings of some providers, whose credentials are there.

    Raises:
        FatalError: Credentials are missing; the message names all of them.
    """
    specs = [PROVIDERS[name] for name in names]
    require_credentials(specs, read_secrets(specs, environment))
    return {spec.name: spec.configure(environment, settings, sandbox=sandbox) for spec in specs}


def webhooks_for(providers: Iterable[str]) -> list[Webhook]:
    """Return the webhooks of those providers that send any."""
    return [webhook for name in providers if (webhook := PROVIDERS[name].webhook)]


def secrets_in(environment: Mapping[str, str]) -> Secrets:
    """Return the credentials of all providers that are set."""
    return read_secrets(PROVIDERS.values(), environment)


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for the user's commands: without secrets, and what leads to them."""
    names = secret_names(PROVIDERS.values())
    hidden = {*names, *(name + FILE_SUFFIX for name in names)}
    return {name: value for name, value in environment.items() if name not in hidden}


@asynccontextmanager
async def open_providers(
    settings: Settings,
    memory: KeyValueStore,
    names: list[str],
    environment: Mapping[str, str],
    observer: Observer,
    *,
    sandbox: bool,
    now: Callable[[], float] = time.time,
) -> AsyncIterator[dict[str, Provider]]:
    """Open providers by name, to be asked without an engine.

    Raises:
        UsageError: The ledger belongs to another origin, or an option is invalid.
        FatalError: A credential is missing.
    """
    check_origins(memory, environment, settings, sandbox=sandbox)
    providers = providers_in_use(names, environment, settings, sandbox=sandbox)
    claim_origins(memory, providers)
    stops = {name: ShutdownToken() for name in names}
    network = network_settings(environment, settings.proxy, settings.ca_file)
    factory = ProviderFactory(settings, memory, providers, network, observer, now, stops)
    async with anyio.create_task_group() as group, AsyncExitStack() as stack:
        opened = {name: await factory.provider(stack, PROVIDERS[name]) for name in names}
        for bucket in factory.buckets.values():
            group.start_soon(bucket.run)
        yield opened
        for bucket in factory.buckets.values():
            bucket.close()
        group.cancel_scope.cancel()
