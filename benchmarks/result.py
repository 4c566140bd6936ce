"""What was measured of one competitor, over all rounds."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.competitors import Competitor
from benchmarks.measurement import Sample
from benchmarks.server import Counts


@dataclass
class Result:
    """One competitor's rounds.

    `starts` are its runs of a single item, which show what starting up costs. `failure`
    is the reason why a competitor was excluded from the comparison.
    """

    competitor: Competitor
    items: int
    samples: list[Sample] = field(default_factory=list)
    starts: list[Sample] = field(default_factory=list)
    served: list[Counts] = field(default_factory=list)
    failure: str | None = None

    def cpu(self) -> list[float]:
        """CPU seconds an item, start-up included, of each round."""
        return [sample.cpu / self.items for sample in self.samples]

    def marginal_cpu(self) -> list[float]:
        """CPU seconds of one more item, of each round: the median start-up is subtracted."""
        start = median(sample.cpu for sample in self.starts)
        return [(sample.cpu - start) / max(self.items - 1, 1) for sample in self.samples]

    def wall(self) -> list[float]:
        """Seconds of each round, start-up included."""
        return [sample.wall for sample in self.samples]

    def rate(self) -> float:
        """Items a second, start-up included."""
        return self.items / median(self.wall())

    def peak(self) -> float:
        """Peak memory in bytes."""
        return median(sample.peak for sample in self.samples)

    def api_requests(self) -> float:
        """API requests an item; files are not counted."""
        api = [
            sum(served.requests.values()) - served.requests.get("file", 0) for served in self.served
        ]
        return median(api) / self.items

    def server_load(self) -> float:
        """CPU seconds of the server for each second of the run; 1.0 is its limit."""
        pairs = zip(self.served, self.samples, strict=True)
        return median(served.cpu / sample.wall for served, sample in pairs)

    def as_json(self) -> dict[str, Any]:
        """Every raw figure of every round, in seconds and bytes."""
        return {
            "name": self.competitor.name,
            "description": self.competitor.description,
            "items": self.items,
            "cpu_seconds": [sample.cpu for sample in self.samples],
            "wall_seconds": self.wall(),
            "peak_bytes": [sample.peak for sample in self.samples],
            "start_cpu_seconds": [sample.cpu for sample in self.starts],
            "requests": [dict(counts.requests) for counts in self.served],
            "server_cpu_seconds": [counts.cpu for counts in self.served],
            "failure": self.failure,
        }
