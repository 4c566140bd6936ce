"""HTTP statuses that mean the same at every provider, as errors."""

from __future__ import annotations

from batchcap.domain.errors import FatalError, RowError
from batchcap.transport.response import ApiResponse


def check_access(answer: ApiResponse, provider: str, credentials: tuple[str, ...]) -> None:
    """Check that the response does not refuse the account.

    Raises:
        FatalError: The credentials are wrong, credit is missing, or the API redirects,
            which is not followed, so that the credentials go nowhere else.
    """
    if answer.status == 401:
        raise FatalError(
            f"{provider} refuses the credentials: {answer.error()}",
            hint=f"Check {' and '.join(credentials)}, then: batchcap resume",
            provider=provider,
        )
    if answer.status == 402:
        raise FatalError(
            f"{provider} asks for credit or another plan: {answer.error()}",
            hint="Settle that with the provider, then: batchcap resume",
            provider=provider,
        )
    if 300 <= answer.status < 400:
        raise FatalError(
            f"{provider} answers with a redirect ({answer.status}), which is not followed",
            hint="Check the base URL that is set for it.",
            provider=provider,
        )


def rejected(answer: ApiResponse) -> RowError:
    """Return the error of a request that is refused for one row, and would be again."""
    return RowError("rejected", str(answer.error()))
