"""What a check finds."""

from __future__ import annotations

from typing import Literal

import msgspec

Level = Literal["ok", "skipped", "warning", "problem"]


class Diagnosis(msgspec.Struct, frozen=True):
    """One line of `batchcap doctor`; `hint` is the next step, "" if nothing is wrong.

    A run works despite a warning, and not, or not for long, despite a problem.
    """

    subject: str
    level: Level
    message: str
    hint: str = ""
