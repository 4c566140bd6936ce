"""Makes a manifest of what is in a provider's account, page by page.

Memory does not grow with the account. What is known after each page is written together, so
that a walk that was interrupted continues after its last saved page.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable
from typing import Protocol

import msgspec

from batchcap.domain.account import AccountItem, AccountPage, AccountQuery
from batchcap.domain.errors import FatalError, RowError, Unavailable, UsageError
from batchcap.domain.languages import canonical
from batchcap.domain.ledger_protocols import LedgerReader
from batchcap.domain.models import Json, Row
from batchcap.domain.protocols import AccountList
from batchcap.domain.version import __version__
from batchcap.providers import ProviderSettings, ProviderSpec
from batchcap.reports.manifest_file import Encoder

SAVE_INTERVAL = 1.0  # seconds between two saved pages, each of which waits for the disk


class Output(Protocol):
    """Where a manifest is written. Every method may raise `FatalError`."""

    def restart(self) -> None:
        """Discard what was written."""
        ...

    def write(self, data: bytes) -> None:
        """Add data."""
        ...

    def save(self, author: Json) -> None:
        """Make what was written so far count, together with the author's state."""
        ...

    def finish(self) -> None:
        """Complete the manifest."""
        ...


class Walk(msgspec.Struct):
    """How far a walk through an account has come.

    `cursor` is that of the next page. `values` are those of a `KeyValueStore`, so that a pause
    that the provider asked for holds for the next command too.
    """

    cursor: str = ""
    listed: int = 0
    rows: int = 0
    captions: int = 0
    left_out: dict[str, int] = {}
    values: dict[str, str] = {}

    def get(self, key: str) -> str | None:
        """See `protocols.KeyValueStore`."""
        return self.values.get(key)

    def set(self, key: str, value: str) -> None:
        """See `protocols.KeyValueStore`."""
        self.values[key] = value

    def restart(self) -> None:
        """Go back to the first page."""
        self.cursor, self.listed, self.rows, self.captions = "", 0, 0, 0
        self.left_out.clear()


def identity(
    settings: ProviderSettings, spec: ProviderSpec, query: AccountQuery, *more: str
) -> str:
    """Return a text that changes with the account and with everything that is asked of it."""
    secrets = [settings.secrets.get(name, "") for name in spec.credentials]
    parts = (__version__, spec.name, settings.base_url, secrets, query, more)
    return hashlib.blake2b(msgspec.json.encode(parts), digest_size=12).hexdigest()


def check_query(spec: ProviderSpec, query: AccountQuery) -> None:
    """Check that the rows of a manifest could have these languages.

    Raises:
        UsageError: They could not, as `pt-BR` and `pt-PT` at Mux.
    """
    params = {}
    if query.source_language and spec.columns.source_language:
        params[spec.columns.source_language] = query.source_language
    if problems := spec.columns.problems(params, query.targets):
        raise UsageError("; ".join(problems))


class AccountManifest:
    """Writes the manifest of an account. `exclude` is a ledger whose tasks are left out.

    `on_page` is called after each page, `on_restart` if an earlier walk cannot be continued.
    """

    def __init__(
        self,
        spec: ProviderSpec,
        query: AccountQuery,
        encoder: Encoder,
        exclude: LedgerReader | None,
        on_page: Callable[[Walk], None],
        on_restart: Callable[[str], None],
    ) -> None:
        assert spec.account is not None
        self._spec, self._query, self._encoder, self._exclude = spec, query, encoder, exclude
        self._noun = spec.account.noun
        self._on_page, self._on_restart = on_page, on_restart

    async def write(self, account: AccountList, output: Output, walk: Walk) -> None:
        """List the account from where `walk` stands to its end, and complete the manifest.

        Raises:
            FatalError: The account cannot be listed, or the manifest cannot be written. What
                was listed before is saved.
        """
        try:
            await self._list(account, output, walk)
        except BaseException as error:
            if walk.cursor:
                output.save(msgspec.to_builtins(walk))
            if isinstance(error, RowError | Unavailable):
                raise self._failed(error.message) from None
            raise
        output.write(self._encoder.end())
        output.finish()

    async def _list(self, account: AccountList, output: Output, walk: Walk) -> None:
        saved_at = time.monotonic()
        page = await self._first_page(account, output, walk)
        while True:
            self._add(page, output, walk)
            self._on_page(walk)
            if not page.cursor:
                return
            if time.monotonic() - saved_at >= SAVE_INTERVAL:
                output.save(msgspec.to_builtins(walk))
                saved_at = time.monotonic()
            page = await account.list_account(walk.cursor, self._query)

    async def _first_page(self, account: AccountList, output: Output, walk: Walk) -> AccountPage:
        """Return the next page, or the very first one if the provider refuses to continue."""
        if walk.cursor:
            try:
                return await account.list_account(walk.cursor, self._query)
            except RowError as error:
                self._on_restart(error.message)
                walk.restart()
                output.restart()
        output.write(self._encoder.begin())
        return await account.list_account("", self._query)

    def _add(self, page: AccountPage, output: Output, walk: Walk) -> None:
        """Write the rows of a page, and count it."""
        if page.cursor and page.cursor == walk.cursor:
            raise self._failed("a page leads to itself")
        records, left_out, captions = [], Counter(page.left_out), 0
        for item in page.items:
            targets = self._not_known(item)
            captions += len(targets)
            left_out["captions that the ledger has"] += len(_targets(item)) - len(targets)
            if targets:
                records.append(self._record(item, targets))
        output.write(self._encoder.encode(records, are_first=not walk.rows))
        walk.cursor, walk.listed = page.cursor, walk.listed + page.count
        walk.rows, walk.captions = walk.rows + len(records), walk.captions + captions
        for reason, count in left_out.items():
            walk.left_out[reason] = walk.left_out.get(reason, 0) + count

    def _not_known(self, item: AccountItem) -> list[str]:
        """Return the languages of an item that are not in the ledger."""
        if self._exclude is None:
            return _targets(item)
        return [tag for tag in _targets(item) if not self._exclude.has_task(self._task(item, tag))]

    def _task(self, item: AccountItem, tag: str) -> Row:
        return Row(
            key="",
            provider=self._spec.name,
            source_id=item.source_id,
            language=None,
            target=canonical(tag) if tag else "",
            path="",
        )

    def _record(self, item: AccountItem, targets: list[str]) -> Json:
        columns = self._spec.columns
        asked = {columns.targets: targets} if columns.targets else {}
        return {columns.ids[0]: item.source_id, **item.cells, **asked}

    def _failed(self, reason: str) -> FatalError:
        return FatalError(
            f"{self._spec.name}: listing the {self._noun} failed: {reason}",
            hint="The same command continues where this one stopped.",
            provider=self._spec.name,
        )


def _targets(item: AccountItem) -> list[str]:
    """Return the languages of an item; one without a name if its provider has none."""
    return list(item.targets) or [""]
