"""The live page: CPU of a run that three readers of its events watch, beside that of one unwatched.

Loopback, no limits, and every job has completed when it is first polled, so that nothing but
the client decides how many captions a second there are. The readers are plain ones: they take
what comes, as `curl -N` does. Their own CPU is not counted, and they take it from the same cores.
"""

from __future__ import annotations

import argparse
import http.client
import shutil
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median

from benchmarks import bars, machine, table
from benchmarks.bars import Bar
from benchmarks.competitors import BATCHCAP, Assignment
from benchmarks.measurement import RunningCommand, Sample
from benchmarks.options import Workspace, add_workload, workspace
from benchmarks.reporting import Report
from benchmarks.server import Server, running_server
from benchmarks.workload import NotDoneError, Workload

_READERS = {"unwatched": None, "--web, nobody reads": 0, "--web, three readers": 3}
"""The number of readers of each kind of run; None is a run without a page."""
_LIMIT = 1.05
"""The most CPU that a watched run may take, as a multiple of an unwatched one's."""
_CONNECT_TIMEOUT = 10.0  # seconds


class _Reader(threading.Thread):
    """Reads the events of a run from its start to its end, and counts their bytes."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self.bytes = 0
        self.has_seen_the_end = False
        self.start()

    def run(self) -> None:
        with closing(_connected(self._port)) as connection:
            connection.request("GET", "/events")
            response = connection.getresponse()
            while line := response.readline():
                self.bytes += len(line)
                self.has_seen_the_end |= line == b"event: ended\n"


def _connected(port: int) -> http.client.HTTPConnection:
    """Connect as soon as the run listens."""
    deadline = time.monotonic() + _CONNECT_TIMEOUT
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.connect()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return connection


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `web`."""
    add_workload(parser, items=8_000, rounds=5)


def measure(options: argparse.Namespace) -> Report:
    """Measure each provider.

    Raises:
        NotDoneError: A run did not do its work, or a reader missed its end.
    """
    parts, records, failed = [], {}, False
    with workspace(options.disk) as space, running_server(options.caption_bytes) as server:
        parts.append(machine.describe(space.folder))
        for provider in options.provider:
            workload = Workload(provider, options.items, options.caption_bytes)
            samples = _measure_rounds(workload, options.rounds, server, space)
            held = [judge(samples)]
            parts += [_title(workload, options.rounds), as_table(samples, options.items)]
            parts += [bars.markdown(held)]
            records[provider] = {
                name: [[sample.wall, sample.cpu, sample.peak] for sample in each]
                for name, each in samples.items()
            }
            failed |= any(bar.missed for bar in held)
    return Report("web", "\n\n".join(parts), records, failed)


def _measure_rounds(
    workload: Workload, rounds: int, server: Server, space: Workspace
) -> dict[str, list[Sample]]:
    samples: dict[str, list[Sample]] = {name: [] for name in _READERS}
    names = list(_READERS)
    for number in range(rounds):
        turn = number % len(names)
        for name in [*names[turn:], *names[:turn]]:
            folder = space.folder / f"{workload.provider}-{number}-{names.index(name)}"
            folder.mkdir()
            sample = _run_once(workload, _READERS[name], server, folder)
            samples[name].append(sample)
            print(f"{name}: {sample.wall:.2f} s, {sample.cpu:.2f} s of CPU", file=sys.stderr)
            if not space.keep:
                shutil.rmtree(folder)
    return samples


def _run_once(workload: Workload, readers: int | None, server: Server, folder: Path) -> Sample:
    manifest = folder / "manifest.csv"
    workload.write_manifest(manifest)
    command = BATCHCAP.command(Assignment(workload, manifest, folder / "out", folder, server))
    port = _free_port()
    web = () if readers is None else ("--web", f"127.0.0.1:{port}")
    environment = {**server.environment, **BATCHCAP.environment}
    running = RunningCommand([*command, *web], environment, folder / "log", BATCHCAP.cwd)
    reading = [_Reader(port) for _ in range(readers or 0)]
    sample = running.wait()
    for reader in reading:
        reader.join(_CONNECT_TIMEOUT)
        if not reader.has_seen_the_end:
            raise NotDoneError("a reader of the events missed the end of the run")
    workload.check(folder / "out")
    return sample


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def judge(samples: Mapping[str, Sequence[Sample]]) -> Bar:
    """Hold a run with three readers to an unwatched one."""
    alone, _, watched = ([sample.cpu for sample in each] for each in samples.values())
    value = median(watched) / median(alone)
    return Bar(
        "three readers: CPU, × unwatched", value, _LIMIT, at_best=median(watched) / max(alone)
    )


def as_table(samples: Mapping[str, Sequence[Sample]], items: int) -> str:
    """A row for each kind of run."""
    first = median(sample.cpu for sample in next(iter(samples.values())))
    rows = []
    for name, each in samples.items():
        cpu = [sample.cpu / items * 1e6 for sample in each]
        wall = median(sample.wall for sample in each)
        rows.append(
            [
                name,
                f"{median(cpu):,.0f}",
                f"{min(cpu):,.0f}–{max(cpu):,.0f}",
                f"{median(sample.cpu for sample in each) / first:.3f}",
                f"{items / wall:,.0f}",
                f"{median(sample.peak for sample in each) / 1e6:,.0f}",
            ]
        )
    head = ["", "CPU us/caption", "least–most", "× unwatched", "captions/s", "peak MB"]
    return table.markdown(head, rows)


def _title(workload: Workload, rounds: int) -> str:
    return (
        f"**{workload.provider}: {workload.items:,} captions, start-up included, {rounds} rounds**"
    )
