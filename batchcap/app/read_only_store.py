"""What a ledger remembers, for those who only look."""

from __future__ import annotations

from batchcap.domain.ledger_protocols import LedgerReader


class ReadOnlyStore:
    """A `KeyValueStore` with the values of a ledger, all or those whose key has a prefix.

    Changes stay in memory.
    """

    def __init__(self, ledger: LedgerReader, prefix: str = "") -> None:
        self._values = ledger.values(prefix)

    def get(self, key: str) -> str | None:
        """See `protocols.KeyValueStore`."""
        return self._values.get(key)

    def set(self, key: str, value: str) -> None:
        """Keep a value as long as this object lives."""
        self._values[key] = value
