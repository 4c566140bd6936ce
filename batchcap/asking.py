"""When to ask, and about which jobs: a question has to be worth its price.

A job that has ended waits until somebody asks. How long all of them together have
probably waited since they were asked about last is what a question saves; what it
costs is requests. It is asked as soon as the one outweighs the other: so many jobs
are asked about together and often, a few when they have most likely ended, and one
that should have ended long ago ever more rarely.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable

import msgspec

from batchcap.durations import Law
from batchcap.model import Job

_SOONEST = 0.5
"""Seconds between two decisions; no forecast is better than that, and a thousand jobs take
some milliseconds to weigh."""

_LATEST = 5.0
"""Seconds after which newcomers are weighed in."""

_SILENCE = 6.0
"""Ends that should have been heard of before silence means that events are lost: of
as many, one is heard of but for a chance of 1 in 400."""


class Watch:
    """One job that a row waits for. Times are the loop's.

    `since` is when the job began; `dated` False where nobody knows, and it is when the
    row began to wait. `asked` is when the job was last known to run. The row waits for
    `news` as long as `waiting`. `told`: an event said that it had ended; where it had not,
    no other event can be counted on.
    """

    __slots__ = ("asked", "dated", "deadline", "job_id", "kind", "news", "since", "told", "waiting")
    news: asyncio.Future[Job]

    def __init__(
        self, job_id: str, kind: tuple[str, ...], since: float, deadline: float, *, dated: bool
    ) -> None:
        self.job_id, self.kind = job_id, kind
        self.since, self.deadline, self.dated = since, deadline, dated
        self.asked: float | None = None
        self.waiting = self.told = False

    def gap(self, now: float) -> float:
        """Seconds in which nothing was known of the job."""
        return now - (self.since if self.asked is None else self.asked)

    def ended(self, now: float, law: Law, known: float = -math.inf) -> float:
        """How likely the job has ended, where it ran when it was asked about and at `known`."""
        if self.asked is None and not self.dated:
            return 1.0
        seen = max(self.asked or self.since, known, self.since)
        return law.ended(now - self.since, seen - self.since)


class Terms(msgspec.Struct, frozen=True):
    """What asking costs at present; times in seconds.

    `price`: how much waiting, of all captions together, one request may cost. Nobody
    is asked about before `first_look` of age or twice within `shortest`, everybody
    within `longest`, and within `soon` who has had an event. `hurry`: whoever was never
    asked about is, at once, where nobody knows its age. `unheard` is the share of ends
    that no event tells of, the last of which came at `heard_at`. `deaf` is how long the
    provider was out of reach.
    """

    price: float
    first_look: float
    shortest: float
    longest: float
    hurry: bool
    law: Callable[[tuple[str, ...]], Law]
    cost: Callable[[int], int]
    """Requests that asking about so many jobs takes."""
    unheard: float = 1.0
    heard_at: float = -math.inf
    deaf: float = 0.0
    soon: float = math.inf


class Verdict(msgspec.Struct, frozen=True):
    """Whom to ask about now; where nobody, when to think again.

    `silent`: events should have come by now, and did not.
    """

    batch: list[Watch]
    again: float
    silent: bool = False


def decide(watches: Iterable[Watch], now: float, terms: Terms) -> Verdict:
    """Weigh what asking saves against what it costs."""
    scale = _Scale(now, terms)
    for watch in watches:
        scale.add(watch)
    return scale.verdict()


class _Scale:
    def __init__(self, now: float, terms: Terms) -> None:
        self._now, self._terms = now, terms
        self._ready: list[Watch] = []
        self._alone: list[Watch] = []
        self._forced = False
        self._late = self._unheard_of = self._gap = 0.0
        self._again = self._first_ready = now + terms.longest

    def add(self, watch: Watch) -> None:
        """Take one job in."""
        now, terms, gap = self._now, self._terms, watch.gap(self._now)
        deadline = watch.deadline + terms.deaf
        overdue = deadline <= now and (watch.asked is None or watch.asked < deadline)
        if (left := _early(watch, terms) - gap) > 0 and not overdue:
            self._first_ready = min(self._first_ready, now + left)
            return
        longest = min(terms.longest, terms.soon) if watch.told else terms.longest
        self._ready.append(watch)
        self._gap = max(self._gap, gap)
        self._forced |= overdue or gap >= longest
        self._forced |= terms.hurry and watch.asked is None and not watch.dated
        self._again = min(self._again, now + longest - gap)
        if deadline > now:
            self._again = min(self._again, deadline)
        self._weigh(watch, gap)

    def _weigh(self, watch: Watch, gap: float) -> None:
        """How long the row has waited for nothing, by all that is known."""
        now, terms = self._now, self._terms
        law = terms.law(watch.kind)
        ended = watch.ended(now, law)
        late = ended * (1.0 if watch.told else terms.unheard) * gap / 2
        self._late += late
        if late >= terms.price * (1 - ended):
            self._alone.append(watch)
        if terms.unheard < 1 and not watch.told:
            self._unheard_of += watch.ended(now, law, known=terms.heard_at)

    def verdict(self) -> Verdict:
        """Everybody where that pays, else whoever it pays for alone."""
        silent = self._unheard_of >= _SILENCE
        target = self._terms.price * self._terms.cost(len(self._ready))
        if not self._ready:
            return Verdict([], max(self._first_ready, self._now + _SOONEST), silent)
        if self._forced or self._late >= target:
            return Verdict(self._ready, self._now, silent)
        return Verdict(self._alone, min(self._again, self._now + self._wait(target)), silent)

    def _wait(self, target: float) -> float:
        """Waiting grows with the square of the gap as long as jobs end evenly."""
        growth = math.sqrt(target / self._late) - 1 if self._late > 0 else math.inf
        return max(_SOONEST, min(self._gap * growth, max(1.0, self._gap / 2), _LATEST))


def _early(watch: Watch, terms: Terms) -> float:
    """Seconds for which nothing is asked about a job."""
    if watch.asked is not None:
        return terms.shortest
    return terms.first_look if watch.dated else 0.0
