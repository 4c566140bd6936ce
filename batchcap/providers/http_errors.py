"""What every provider's refusals mean to the run, by status."""

from __future__ import annotations

from batchcap.answers import Answer
from batchcap.errors import FatalError, RowError


def check_access(answer: Answer, provider: str, credentials: tuple[str, ...]) -> None:
    """Raise `FatalError` where no request of this provider can succeed.

    Wrong credentials, no credit, or an API that lives elsewhere: a redirect is
    not followed, so that the credentials go nowhere else.
    """
    if answer.status == 401:
        raise FatalError(
            f"{provider} refuses the credentials: {answer.problem()}",
            hint=f"Check {' and '.join(credentials)}, then: batchcap resume",
            provider=provider,
        )
    if answer.status == 402:
        raise FatalError(
            f"{provider} asks for credit or another plan: {answer.problem()}",
            hint="Settle that with the provider, then: batchcap resume",
            provider=provider,
        )
    if 300 <= answer.status < 400:
        raise FatalError(
            f"{provider} answers with a redirect ({answer.status}), which is not followed",
            hint="Check the base URL that is set for it.",
            provider=provider,
        )


def rejected(answer: Answer) -> RowError:
    """A refusal that concerns one row and that another try does not change."""
    return RowError("rejected", str(answer.problem()))
