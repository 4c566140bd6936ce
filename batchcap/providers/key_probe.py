"""What shows whether a provider accepts a key, and what the key may do."""

from __future__ import annotations

from typing import Literal

import msgspec

from batchcap.transport.response import ApiResponse, as_object

Access = Literal["allowed", "refused", "unknown"]

_REFUSALS = {401, 402, 403}


class KeyProbe(msgspec.Struct, frozen=True, kw_only=True):
    """A GET of a list, which changes nothing, and the permission that its response shows.

    `hint` is what to do if the permission is refused to a key that is accepted otherwise.
    `refusal_kinds` are error codes that refuse the key whatever the status.
    """

    permission: str
    path: str
    hint: str
    refusal_kinds: frozenset[str] = frozenset()

    def access(self, response: ApiResponse) -> Access:
        """Return what a response says about the permission.

        A 404, a 429 or a server's error says nothing about it, nor does a 200 without the
        `data` of the API's envelope: it is another server's, or a proxy's.
        """
        if response.ok:
            return "allowed" if "data" in as_object(response.json()) else "unknown"
        refused = response.status in _REFUSALS or response.error().kind in self.refusal_kinds
        return "refused" if refused else "unknown"
