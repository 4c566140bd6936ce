"""What shows a run cannot end it."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.request import urlopen

import anyio
import pytest

from batchcap.cli.endpoints import EndpointOptions, Endpoints
from batchcap.cli.options import OutputOptions
from batchcap.cli.run_view import STORE_INTERVAL, RunView
from batchcap.domain.errors import UsageError
from batchcap.domain.events import Event, RequestEnded, Warned
from batchcap.domain.models import Totals
from batchcap.reports import snapshot
from batchcap.reports.prometheus import PrometheusMetrics
from batchcap.reports.snapshot import Snapshot
from batchcap.reports.tracker import RunTracker
from batchcap.simulation.in_memory import InMemoryStore
from tests.harness.clock import now

pytestmark = pytest.mark.anyio


class BrokenTracker(RunTracker):
    """A tracker with a fault."""

    def __call__(self, event: Event) -> None:
        raise ZeroDivisionError("a fault\nof ours")

    def snapshot(self) -> Snapshot:
        raise KeyError("another")


async def test_fault_in_what_shows_a_run_is_reported_once_and_ends_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    view = RunView(BrokenTracker(Totals(), {}, now), Endpoints(), OutputOptions())
    async with view.shown(tmp_path, InMemoryStore()):
        for _ in range(3):
            view(Warned("x"))
            await anyio.sleep(STORE_INTERVAL)
        assert view.snapshot().providers == []
    warnings = [line for line in capsys.readouterr().err.splitlines() if "cannot" in line]
    assert warnings == [
        "warning: the progress cannot be shown: ZeroDivisionError: a fault\\nof ours"
    ]


async def test_fault_of_the_display_or_the_metrics_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class BrokenMetrics(PrometheusMetrics):
        def update(self, snapshot: Snapshot) -> None:
            raise ValueError("metrics")

    def fail(*_: object) -> str:
        raise ValueError("display")

    monkeypatch.setattr("batchcap.cli.progress.counts", fail)
    endpoints = Endpoints(metrics=BrokenMetrics())
    view = RunView(RunTracker(Totals(), {}, now), endpoints, OutputOptions())
    async with view.shown(tmp_path, InMemoryStore()):
        await anyio.sleep(30)
    assert capsys.readouterr().err.count("warning: the progress cannot be shown: ") == 1


async def test_snapshots_are_stored_for_other_processes(tmp_path: Path) -> None:
    store, totals = InMemoryStore(), Totals(by_provider={"mux": {"done": 3}})
    view = RunView(RunTracker(totals, {}, now), Endpoints(), OutputOptions(quiet=True))
    async with view.shown(tmp_path, store):
        view(Warned("careful"))
        await anyio.sleep(STORE_INTERVAL + 0.1)
    stored = snapshot.decode(store.get(snapshot.KEY))
    assert stored is not None
    assert stored.problem == "careful"
    assert [provider.done for provider in stored.providers] == [3]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def test_metrics_are_served_while_the_block_runs() -> None:
    address = f"127.0.0.1:{free_port()}"
    with EndpointOptions(metrics=address).opened(quiet=True) as endpoints:
        view = RunView(None, endpoints, OutputOptions())
        view(RequestEnded("mux.read", "GET", "/", 200, 0.1))
        with urlopen(f"http://{address}/metrics", timeout=10) as response:
            text = response.read().decode()
    assert 'batchcap_requests_total{bucket="mux.read",status="200"} 1.0' in text
    with pytest.raises(OSError, match="refused"):
        urlopen(f"http://{address}/metrics", timeout=10)


def test_metrics_port_in_use_is_a_usage_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        options = EndpointOptions(metrics=f"127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(UsageError, match="--metrics: cannot listen on"):  # noqa: SIM117
            with options.opened(quiet=True):
                pass


def test_metrics_address_that_is_none_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="--metrics: invalid address"):  # noqa: SIM117
        with EndpointOptions(metrics="here").opened(quiet=True):
            pass
