"""What one command cost: the operating system's own figures for the finished process.

CPU is user and system time of the process and of every child that it waited for. The
peak of memory is that of the largest single process. It cannot be measured below this
process's own peak, because Linux passes that on over fork and exec.
"""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.workload import NotDoneError


@dataclass(frozen=True)
class Sample:
    """One finished command: wall and CPU time in seconds, peak memory in bytes."""

    wall: float
    cpu: float
    peak: int


class RunningCommand:
    """A command that was started, with `environment` added to this process's own.

    What it prints goes to the file `log`.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        cwd: Path | None = None,
    ) -> None:
        self._log = log
        self._started = time.perf_counter()
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env={**os.environ, **environment},
            )

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._started

    def has_ended(self) -> bool:
        """Whether the process has ended. Leaves it for `wait` or `stop` to collect."""
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._process.pid, options) is not None

    def wait(self) -> Sample:
        """Wait for the end.

        Raises:
            NotDoneError: The command failed.
        """
        sample = self._collect()
        if self._process.returncode:
            output = self._log.read_text(errors="replace")[-2000:]
            raise NotDoneError(f"ended with {self._process.returncode}:\n{output}")
        return sample

    def stop(self, signal: int) -> Sample:
        """Send a signal and wait for the end, whatever the exit status.

        Wall time ends with the signal.
        """
        wall = self.seconds
        os.kill(self._process.pid, signal)
        sample = self._collect()
        return Sample(wall, sample.cpu, sample.peak)

    def _collect(self) -> Sample:
        _, status, usage = os.wait4(self._process.pid, 0)
        wall = self.seconds
        self._process.returncode = os.waitstatus_to_exitcode(status)
        return Sample(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def own_peak() -> int:
    """Bytes below which no command's peak can be measured."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
