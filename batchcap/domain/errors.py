"""What can go wrong, sorted by what the engine has to do about it.

======================  =========================================================
`UsageError`            nothing was started                               (exit 2)
`FatalError`            the run, or one provider's part of it, has to stop; it can
                        be resumed                                        (exit 3)
`RowError`              this row failed, the run goes on        (exit 1 at the end)
`RowSkipped`            the user does not want this row's caption
`TransientError`        a retry may succeed
`Ambiguous`             the response to a create was lost: the create is never sent
                        again before a look-up shows that it did not arrive
`Stopped`               the user stopped the run; every wait ends
======================  =========================================================

A message names what happened and the place; `hint` is what to do next. No message holds a
credential or a link.
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
    """The run cannot go on; once the cause is removed, it can be resumed.

    With `provider`, only that provider's rows have to stop.
    """

    def __init__(self, message: str, *, hint: str = "", provider: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.provider = provider


class CreatesRefused(FatalError):
    """The provider creates no jobs for the account now; jobs that exist go on.

    Rows without a job stay pending, and a later run tries again.
    """


class RowError(BatchcapError):
    """One row ended without its caption.

    `code` is one of the documented error codes. If it is `retryable`, `resume --retry-failed`
    may succeed without any change.
    """

    def __init__(self, code: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable


class RowSkipped(BatchcapError):
    """The user chose not to have this row's caption."""


class TransientError(BatchcapError):
    """A retry may succeed."""


class Unavailable(TransientError):
    """No usable response: 429, 5xx, a lost connection or a timeout.

    `retry_after` is the pause in seconds that the peer asked for, if it did.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotAccepted(TransientError):
    """A create surely did not arrive, or was refused for now; it may be sent again.

    `failures` is the number of attempts so far that count, `delay` the seconds to wait before
    the next one. Pauses of the provider's quota come on top.
    """

    def __init__(self, message: str, *, failures: int, delay: float) -> None:
        super().__init__(message)
        self.failures = failures
        self.delay = delay


class LinkExpired(TransientError):
    """The file host refuses this link; a fresh one may work."""


class BadCaption(TransientError):
    """The response is not a complete WebVTT file."""


class BadQuality(BatchcapError):
    """A complete WebVTT file has findings that the user does not accept."""


class Ambiguous(BatchcapError):
    """A create was sent, and its response was lost."""


class Stopped(BatchcapError):
    """The run is being stopped; nothing new is started."""

    def __init__(self) -> None:
        super().__init__("the run is being stopped")
