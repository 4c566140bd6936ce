"""The options of the live page of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Group, Parameter

from batchcap.domain.errors import UsageError
from batchcap.web.address import Listener, listener, parse_web

_WEB = Group("Live page")


@Parameter(name="*")
@dataclass(frozen=True)
class WebOptions:
    """Whether and where to serve a live page."""

    web: Annotated[
        str,
        Parameter(
            group=_WEB,
            help="HOST:PORT where the report is served while the run works, like 127.0.0.1:8468. "
            "On another host than loopback it needs a token, which is in the URL that is printed.",
        ),
    ] = ""
    web_token: Annotated[
        str, Parameter(group=_WEB, help="The token for --web; without it, one at random.")
    ] = ""

    @contextmanager
    def listener(self, *, quiet: bool) -> Iterator[Listener | None]:
        """Listen while the block runs; yields None without --web.

        Raises:
            UsageError: The address or the token is invalid, or the port is in use.
        """
        if not self.web:
            if self.web_token:
                raise UsageError("--web-token needs --web")
            yield None
            return
        address = parse_web("--web", self.web, self.web_token)
        if quiet and address.token != self.web_token:
            raise UsageError(
                "--web on another host than loopback prints its token, which --quiet forbids",
                hint="Choose one with --web-token.",
            )
        with listener("--web", address) as bound:
            yield bound
