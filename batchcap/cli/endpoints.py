"""What a run serves while it works: the live page and Prometheus metrics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from batchcap.cli.configuration.configuration import on_command_line
from batchcap.domain.errors import UsageError
from batchcap.domain.settings import parse_host_port
from batchcap.web.address import Listener, listener, parse_web

if TYPE_CHECKING:
    from batchcap.reports.prometheus import PrometheusMetrics

_WEB = Group("Live page and metrics")
_METRICS_PORT = 9464


@dataclass(frozen=True)
class Endpoints:
    """What is served: the address of the page, and the metrics; None: not served."""

    page: Listener | None = None
    metrics: PrometheusMetrics | None = None


@Parameter(name="*")
@dataclass(frozen=True)
class EndpointOptions:
    """Whether and where to serve a live page and metrics."""

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
    metrics: Annotated[
        str,
        Parameter(
            group=_WEB,
            help="HOST:PORT where Prometheus finds metrics while the run works, like "
            "127.0.0.1:9464. Whoever reaches the address can read them.",
        ),
    ] = ""

    @contextmanager
    def opened(self, *, quiet: bool) -> Iterator[Endpoints]:
        """Listen while the block runs.

        Raises:
            UsageError: An address or the token is invalid, a port is in use, or a package is
                missing.
        """
        with ExitStack() as stack:
            page = self._page(stack, quiet=quiet)
            metrics = stack.enter_context(_serving(self.metrics)) if self.metrics else None
            yield Endpoints(page, metrics)

    def _page(self, stack: ExitStack, *, quiet: bool) -> Listener | None:
        if not self.web:
            if on_command_line({"--web-token": self.web_token}):
                raise UsageError("--web-token needs --web")
            return None
        address = parse_web("--web", self.web, self.web_token)
        if quiet and address.token != self.web_token:
            raise UsageError(
                "--web on another host than loopback prints its token, which --quiet forbids",
                hint="Choose one with --web-token.",
            )
        return stack.enter_context(listener("--web", address))


@contextmanager
def _serving(address: str) -> Iterator[PrometheusMetrics]:
    """Serve metrics in a thread until the block ends.

    Raises:
        UsageError: The address is invalid or in use, or prometheus-client is missing.
    """
    host, port = parse_host_port("--metrics", address, _METRICS_PORT)
    if find_spec("prometheus_client") is None:
        raise UsageError(
            "--metrics needs the package prometheus-client",
            hint="Install it: pip install 'batchcap[metrics]'",
        )
    from prometheus_client import start_http_server  # an extra

    from batchcap.reports.prometheus import PrometheusMetrics  # needs it

    metrics = PrometheusMetrics()
    try:
        server, thread = start_http_server(port, addr=host, registry=metrics.registry)
    except OSError as error:
        raise UsageError(
            f"--metrics: cannot listen on {address}: {error.strerror or error}",
            hint="Another program may use the port. Port 0 is any free one.",
        ) from None
    try:
        yield metrics
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
