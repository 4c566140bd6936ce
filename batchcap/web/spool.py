"""A document that many readers get, made once and kept in a temporary file."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from tempfile import TemporaryFile

from batchcap.web.messages import Messages

_CHUNK = 64 * 1024  # bytes that are read at once


class Spool:
    """Bytes in a file without a name. `identifier` is the message that they are as new as."""

    def __init__(self, pieces: Iterable[bytes], identifier: str) -> None:
        self.identifier = identifier
        self.made_at = time.monotonic()
        with TemporaryFile(prefix="batchcap-") as file:
            file.writelines(pieces)
            self.size = file.tell()
            file.flush()
            self._descriptor = os.dup(file.fileno())

    def close(self) -> None:
        """Close the file. Whoever reads it now reads it to its end."""
        os.close(self._descriptor)

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Yield all bytes, at the pace of the reader. The spool must not be closed before."""
        descriptor, offset = os.dup(self._descriptor), 0
        try:
            while chunk := os.pread(descriptor, _CHUNK, offset):
                offset += len(chunk)
                yield chunk
        finally:
            os.close(descriptor)


class SharedSpool:
    """Makes a spool when it is asked for; everybody who asks in the next seconds gets the same.

    `make` returns the bytes of a document that is as new as a message. It runs in a thread.
    """

    def __init__(self, make: Callable[[str], Iterable[bytes]], max_age: float) -> None:
        self._make, self._max_age = make, max_age
        self._spool: Spool | None = None
        self._making: asyncio.Task[Spool] | None = None

    async def get(self, messages: Messages) -> Spool:
        """Return a spool that messages can follow, not older than the maximum age.

        Raises:
            OSError: There is no space for it.
            FatalError: The ledger cannot be read.
        """
        spool = self._spool
        if (
            spool is not None
            and time.monotonic() - spool.made_at < self._max_age
            and messages.is_known(spool.identifier)
        ):
            return spool
        if self._making is None:
            self._making = asyncio.create_task(self._renew(messages.last_id))
        return await asyncio.shield(self._making)  # others wait for it too

    async def _renew(self, identifier: str) -> Spool:
        loop = asyncio.get_running_loop()
        try:
            spool = await loop.run_in_executor(None, self._spooled, identifier)
        finally:
            self._making = None
        if self._spool is not None:
            self._spool.close()
        self._spool = spool
        return spool

    def _spooled(self, identifier: str) -> Spool:
        return Spool(self._make(identifier), identifier)

    async def close(self) -> None:
        """Close the spool that is kept, and one that is being made."""
        if self._making is not None:
            await asyncio.wait({self._making})
        if self._spool is not None:
            self._spool.close()
            self._spool = None
