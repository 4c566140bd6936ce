"""Files that need no work as long as their fingerprint is the one in the ledger.

A manifest that was imported is not read again, and a results.jsonl that shows what the
ledger holds is not written again. A fingerprint is whatever tells one state of a file
from another.
"""

RESULTS = "results"
"""The name of results.jsonl. The ledger forgets its fingerprint when a row changes."""


MANIFEST_PREFIX = "manifest:"
"""What the names of manifests begin with here."""


def manifest(name: str) -> str:
    """Return the name under which a manifest's fingerprint is kept."""
    return f"{MANIFEST_PREFIX}{name}"
