"""What can become of a request that got no whole answer."""

from __future__ import annotations


class HttpFailure(Exception):
    """A request without a whole answer; the words hold neither URL nor header."""


class NotSent(HttpFailure):
    """No byte of the request left: there was no connection for it."""


class Lost(HttpFailure):
    """The request may have arrived; its answer did not, or not whole, or too late."""
