"""What can go wrong, sorted by what the engine has to do about it.

======================  =========================================================
`UsageError`            nothing was started                               (exit 2)
`FatalError`            the run, or one provider's part of it, has to stop; it can
                        be resumed                                        (exit 3)
`RowError`              this row is lost, the run goes on       (exit 1 at the end)
`RowSkipped`            the user did not want this row's caption
`TransientError`        try again
`Ambiguous`             a create was sent and nobody knows whether it arrived:
                        never sent again before somebody looked
`Stopped`               the user asked the run to stop; what waits gives up
======================  =========================================================

Every message says what happened and where; `hint` says what to do next. No
message ever holds a credential or a link.
"""

from __future__ import annotations


class BatchcapError(Exception):
    """Anything batchcap raises on purpose.

    `hint` is the next step for the person who reads the message, or "".
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(BatchcapError):
    """A flag, the environment or a manifest is wrong; nothing was started."""


class FatalError(BatchcapError):
    """The run cannot go on; after the cause is mended, it can be resumed.

    With `provider`, only that provider's rows have to stop.
    """

    def __init__(self, message: str, *, hint: str = "", provider: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.provider = provider


class RowError(BatchcapError):
    """One row ended without its caption.

    `code` is one of the contract's error codes; `retryable` says whether
    `resume --retry-failed` has a chance without anything being changed.
    """

    def __init__(self, code: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable


class RowSkipped(BatchcapError):
    """The user chose not to have this row's caption."""


class TransientError(BatchcapError):
    """It may work the next time."""


class Unavailable(TransientError):
    """No usable answer: throttled, a 5xx, a lost connection, a time-out.

    `retry_after` is the pause in seconds that the peer asked for, if it did.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotAccepted(TransientError):
    """A create surely did not arrive, or was turned away for now; it may be sent again.

    `failures` is the number of its attempts so far that count, `delay` the seconds to wait
    before the next one. Pauses of the provider's quota come on top, when its turn is awaited.
    """

    def __init__(self, message: str, *, failures: int, delay: float) -> None:
        super().__init__(message)
        self.failures = failures
        self.delay = delay


class LinkExpired(TransientError):
    """The file host does not honour this link (any more); a fresh one may do."""


class BadCaption(TransientError):
    """The link led to something that is not a whole WebVTT file."""


class Ambiguous(BatchcapError):
    """A create left, and no answer says what became of it."""


class Stopped(BatchcapError):
    """The run is being stopped; nothing new is started."""

    def __init__(self) -> None:
        super().__init__("the run is being stopped")
