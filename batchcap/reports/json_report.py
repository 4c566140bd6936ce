"""The ledger's results for programs, streamed as one JSON object."""

from __future__ import annotations

from collections.abc import Generator

import msgspec
import orjson

from batchcap.domain.ledger_protocols import LedgerReader
from batchcap.domain.text import one_line
from batchcap.storage.sources import source_failures


def as_json(ledger: LedgerReader) -> Generator[str]:
    """Yield one JSON object: `totals`, `rows` as in results.jsonl, and `source_failures`."""
    yield f'{{"totals":{msgspec.json.encode(ledger.totals()).decode()},"rows":['
    comma = ""
    for result in ledger.results():
        yield comma + one_line(orjson.dumps(result)).decode()
        comma = ",\n"
    failures = msgspec.json.encode(list(source_failures(ledger)))
    yield f'],"source_failures":{one_line(failures).decode()}}}\n'
