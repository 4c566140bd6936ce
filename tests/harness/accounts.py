"""Manifests that are made of an account, in the test's own loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from batchcap.app.account_manifest import AccountManifest, Walk
from batchcap.domain.account import AccountPage, AccountQuery
from batchcap.domain.ledger_protocols import LedgerReader
from batchcap.domain.protocols import AccountList
from batchcap.providers import PROVIDERS
from batchcap.reports.manifest_file import Encoder, ManifestFile
from batchcap.sandbox import Sandbox
from tests.harness.provider import ProviderHarness, running_provider


def account_of(harness: ProviderHarness) -> AccountList:
    """Return a provider as a list of its account."""
    assert isinstance(harness.provider, AccountList)
    return harness.provider


class InterruptedAccount:
    """An account whose list breaks off after some pages."""

    def __init__(self, account: AccountList, pages: int, error: BaseException) -> None:
        self._account, self._left, self._error = account, pages, error

    async def list_account(self, cursor: str, query: AccountQuery) -> AccountPage:
        if self._left == 0:
            raise self._error
        self._left -= 1
        return await self._account.list_account(cursor, query)


@contextmanager
def opened_manifest(path: Path, query: AccountQuery) -> Iterator[tuple[ManifestFile, Walk]]:
    """Open a manifest; yields it with the walk that it continues, or a new one."""
    output = ManifestFile(path, str(query))
    with output.opened() as saved:
        yield output, Walk() if saved is None else msgspec.convert(saved, Walk)


def account_manifest(
    path: Path,
    query: AccountQuery,
    provider: str = "mux",
    exclude: LedgerReader | None = None,
    warnings: list[str] | None = None,
) -> AccountManifest:
    """Return the writer of a manifest; the file's extension decides the format."""
    spec = PROVIDERS[provider]
    assert spec.account is not None
    names = spec.account.names
    encoder = Encoder(path.suffix[1:], names, frozenset(names) - spec.columns.names())
    heard: list[str] = [] if warnings is None else warnings
    return AccountManifest(spec, query, encoder, exclude, lambda _: None, heard.append)


async def write_manifest(
    account: AccountList,
    path: Path,
    query: AccountQuery,
    *,
    provider: str = "mux",
    exclude: LedgerReader | None = None,
    warnings: list[str] | None = None,
) -> Walk:
    """Write or continue a manifest."""
    manifest = account_manifest(path, query, provider, exclude, warnings)
    with opened_manifest(path, query) as (output, walk):
        await manifest.write(account, output, walk)
    return walk


async def manifest_of(
    sandbox: Sandbox,
    path: Path,
    *targets: str,
    provider: str = "mux",
    exclude: LedgerReader | None = None,
    environment: Mapping[str, str] | None = None,
    **query: Any,
) -> Walk:
    """Write a manifest of a sandbox's account, without rate limits."""
    account_query = AccountQuery(targets=targets, **query)
    async with running_provider(sandbox, provider, environment) as harness:
        return await write_manifest(
            account_of(harness), path, account_query, provider=provider, exclude=exclude
        )
