"""Processes rows from manifest to file; knows no HTTP, no SQL and no provider.

engine            runs the lanes side by side, and stops those that an error concerns
lane              one provider's part of a run: its rows, its window, its workers
create_gate       whether a provider accepts creates
unit_budget       how many units the jobs of a run may cost
row_task          one row's life, from top to bottom
caption_download  its last step: from link to file
poller            one sweep over all open jobs of a provider
job_durations     how long jobs took, for forecasts
"""

from batchcap.engine.engine import Engine
from batchcap.engine.lane import Lane, Policy
from batchcap.engine.poller import Poller
from batchcap.engine.unit_budget import UnitBudget

__all__ = ["Engine", "Lane", "Policy", "Poller", "UnitBudget"]
