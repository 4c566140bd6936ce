"""The captions that are translated from: which of them a run fetches, and the fetching."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import chain

import anyio

from batchcap.app.read_only_store import ReadOnlyStore
from batchcap.captions.source_fetcher import SourceFetcher
from batchcap.domain.ledger_protocols import Ledger, LedgerReader
from batchcap.domain.protocols import Observer, SourceCaptions
from batchcap.domain.settings import Settings
from batchcap.engine import Lane
from batchcap.providers import PROVIDERS, ProviderSpec
from batchcap.storage.sources import PREFIX, SourceRecords


def providers_to_ask(ledger: LedgerReader, settings: Settings) -> list[str]:
    """Return the providers that a run asks: with pending rows, or sources that are wanted."""
    pending = ledger.providers_with_pending()
    return [
        name
        for name in PROVIDERS
        if name in pending or next(_missing(ledger, settings, PROVIDERS[name], done=True), None)
    ]


def offers_sources(provider: str) -> bool:
    """Return whether a provider has the captions that its rows are translated from."""
    return provider not in PROVIDERS or PROVIDERS[provider].source_key is not None


def missing_sources(ledger: LedgerReader, settings: Settings) -> dict[str, int]:
    """Count the sources that a run will fetch, by provider: of its rows, and of done ones."""
    counts = {}
    for name, spec in PROVIDERS.items():
        done, pending = (_missing(ledger, settings, spec, done=done) for done in (True, False))
        if count := len(set(chain(done, pending))):
            counts[name] = count
    return counts


def source_fetchers(
    lanes: Iterable[Lane], ledger: Ledger, settings: Settings, observer: Observer
) -> list[SourceFetcher]:
    """Return what fetches the sources of some lanes' rows: nothing if they are not wanted."""
    fetchers = []
    for lane in lanes:
        provider, key_of = lane.provider, PROVIDERS[lane.provider.name].source_key
        if settings.fetch_sources and key_of and isinstance(provider, SourceCaptions):
            records = SourceRecords(ledger, settings.out, provider.name, key_of)
            fetcher = SourceFetcher(provider, lane.downloader, records, lane.stop, observer)
            fetchers.append(fetcher)
    return fetchers


@asynccontextmanager
async def fetching(fetchers: Sequence[SourceFetcher], ledger: LedgerReader) -> AsyncIterator[None]:
    """Fetch sources beside the block, and after it what is left of those of rows that are done."""
    async with anyio.create_task_group() as group:
        for fetcher in fetchers:
            group.start_soon(fetcher.run)
        yield
        for fetcher in fetchers:
            group.start_soon(fetcher.finish, ledger.rows(fetcher.name, done=True))
    for fetcher in fetchers:
        fetcher.report()


def _missing(
    ledger: LedgerReader, settings: Settings, spec: ProviderSpec, *, done: bool
) -> Iterator[str]:
    """Yield the keys of the sources, each once, that are wanted and were not fetched."""
    if not settings.fetch_sources or spec.source_key is None:
        return
    memory = ReadOnlyStore(ledger, PREFIX)
    records = SourceRecords(memory, settings.out, spec.name, spec.source_key)
    seen = set[str]()
    for row in chain.from_iterable(ledger.rows(spec.name, done=done)):
        if (key := records.key(row)) not in seen:
            seen.add(key)
            if not records.has(row):
                yield key
