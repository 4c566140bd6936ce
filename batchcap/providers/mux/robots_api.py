"""Requests to Mux: jobs of the Robots API, assets and their tracks. Creates are not here.

The version of the Robots API is this module's `ROBOTS` and nothing else: v1 changes
fields, shapes and events, and its contract is not public yet.
"""

from __future__ import annotations

from collections.abc import Mapping

from batchcap.domain.errors import CreatesRefused, FatalError, RowError, Unavailable
from batchcap.domain.models import Job, JobState, Json
from batchcap.providers.http_errors import check_access, rejected
from batchcap.providers.mux.schema import CREDENTIALS, NAME, ResponseParser, is_valid_id
from batchcap.transport.api_client import Api, quote_path_segment
from batchcap.transport.rate_limiter import Priority
from batchcap.transport.response import ApiResponse, as_object, as_text

ROBOTS = "/robots/v0"
WORKFLOW = "translate-captions"
JOBS = f"{ROBOTS}/jobs"
TRANSLATE = f"{JOBS}/{WORKFLOW}"

PAGE = 100
MAX_PAGES = 500

ACTIVE = ("pending", "processing")
"""In this order, so that a job that moves on between the two lists is in both."""


class EndlessListError(Unavailable):
    """A list is longer than any account's."""


class RobotsApi:
    """Requests about jobs and assets. Every method raises what `check` raises."""

    def __init__(self, api: Api, parser: ResponseParser) -> None:
        self._api, self._parser = api, parser

    async def get_job(self, job_id: str, priority: Priority) -> Job:
        """Return a job, or a missing one.

        Raises:
            FatalError: The API is retired.
            RowError: This job is refused.
        """
        answer = await self._get(f"{TRANSLATE}/{quote_path_segment(job_id)}", priority=priority)
        if answer.status == 404:
            return Job(id=job_id, state=JobState.MISSING)
        return self._parser.job(_usable(answer).data(), job_id)

    async def get_details(self, job_id: str) -> Json | None:
        """Return a job's object with its parameters, None if there is none.

        Raises:
            FatalError: The API is retired.
            RowError: This job is refused.
        """
        answer = await self._get(f"{TRANSLATE}/{quote_path_segment(job_id)}")
        return None if answer.status == 404 else _usable(answer).data()

    async def list_asset_jobs(self, asset_id: str) -> list[Json]:
        """Return the summaries of all jobs of an asset.

        Raises:
            RowError: A job has no valid id, so it is unknown which row it belongs to.
        """
        summaries = await self.list_jobs({"asset_id": asset_id})
        if not all(is_valid_id(as_text(summary.get("id"))) for summary in summaries):
            message = f"asset {asset_id} has jobs without a valid id"
            raise RowError("outcome_unknown", message, retryable=True)
        return summaries

    async def list_jobs(
        self, filters: Mapping[str, str], priority: Priority = Priority.FINISH
    ) -> list[Json]:
        """Return all summaries that match the filters.

        Pages may shift while jobs change. A page without a new id ends the list: a server
        that ignores `page` would return the first one for ever.

        Raises:
            EndlessListError: There are more than `MAX_PAGES` pages.
        """
        summaries: dict[str, Json] = {}
        for page in range(1, MAX_PAGES + 1):
            query = {"workflow": WORKFLOW, "limit": str(PAGE), "page": str(page), **filters}
            answer = await self._get(JOBS, query, priority=priority)
            if answer.status in {404, 410}:
                raise retired(answer)
            if not answer.ok:
                raise rejected(answer)
            items = {as_text(item.get("id")): item for item in answer.items()}
            is_repeated = items.keys() <= summaries.keys()
            summaries.update(items)
            if is_repeated or len(answer.items()) < PAGE:
                return list(summaries.values())
        raise EndlessListError(f"the list of jobs has more than {MAX_PAGES} pages")

    async def check_endpoint(self) -> None:
        """Check that the API is not retired. The list has no id that could be missing instead.

        Raises:
            FatalError: The API is retired.
        """
        await self.list_jobs({"status": ACTIVE[0]})

    async def get_asset(self, asset_id: str, priority: Priority) -> ApiResponse:
        """Return the response to a request for an asset.

        Raises:
            CreatesRefused: The account is refused, and `priority` says that a create waits.
        """
        path = f"/video/v1/assets/{quote_path_segment(asset_id)}"
        answer = await self._api.get(path, priority=priority)
        (check_create if priority is Priority.START else check)(answer)
        return answer

    async def cancel(self, job_id: str, failures: int) -> ApiResponse:
        """Send one cancel, which failed `failures` times before; return the response.

        Raises:
            NotAccepted: It surely did not arrive.
            Ambiguous: The response was lost.
        """
        path = f"{JOBS}/{quote_path_segment(job_id)}/cancel"
        async with self._api.send_slot(Priority.FINISH, failures) as slot:
            answer = await slot.post(path, None)
        check(answer)
        return answer

    async def delete_track(self, asset_id: str, track_id: str) -> ApiResponse:
        """Send a DELETE for a text track; return the response."""
        asset, track = quote_path_segment(asset_id), quote_path_segment(track_id)
        path = f"/video/v1/assets/{asset}/tracks/{track}"
        answer = await self._api.delete(path, priority=Priority.FINISH)
        check(answer)
        return answer

    async def list_assets(self, cursor: str) -> ApiResponse:
        """Return the page of up to 100 assets that follows a cursor, the first one for "".

        Raises:
            RowError: The request is refused, or the response has no list.
        """
        query = {"limit": str(PAGE), **({"cursor": cursor} if cursor else {})}
        answer = await self._get("/video/v1/assets", query, priority=Priority.START)
        if not answer.ok or not isinstance(as_object(answer.json()).get("data"), list):
            raise rejected(answer)
        return answer

    async def _get(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        priority: Priority = Priority.FINISH,
    ) -> ApiResponse:
        answer = await self._api.get(path, query, priority=priority)
        check(answer)
        return answer


def _usable(answer: ApiResponse) -> ApiResponse:
    """Return the response to a request about one job, if it is a success.

    Raises:
        FatalError: The API is retired.
        RowError: This job is refused.
    """
    if answer.status == 410:
        raise retired(answer)
    if not answer.ok:
        raise rejected(answer)
    return answer


def check(answer: ApiResponse) -> None:
    """Check that the response does not refuse the account.

    Raises:
        FatalError: It does, or the token lacks a permission.
    """
    check_access(answer, NAME, CREDENTIALS)
    if answer.status == 403:
        raise FatalError(
            f"mux does not allow this: {answer.error()}",
            hint="The token needs Robots and Video permissions, and the Robots terms have "
            "to be accepted for its environment in the dashboard; then: batchcap resume",
            provider=NAME,
        )


_REFUSALS = {401, 402, 403}

_REFUSAL_HINTS = {
    "robots_units_limit_exceeded": "Mux checks the units for each job. If a plan is chosen, or "
    "next month: batchcap resume",
    "robots_workflow_not_available": "Choose a plan with translate-captions, then: batchcap resume",
}
"""What to do about a create that gets 403, by the type of the error."""


def check_create(answer: ApiResponse) -> None:
    """Check the response to a request without which no job can be created.

    Raises:
        CreatesRefused: It refuses the account. Existing jobs may still be requested.
        FatalError: The API redirects.
    """
    try:
        check(answer)
    except FatalError as error:
        if answer.status not in _REFUSALS:
            raise
        kind = answer.error().kind
        if kind in _REFUSAL_HINTS:
            error.message = f"mux creates no more jobs: {answer.error()}"
            error.hint = _REFUSAL_HINTS[kind]
        raise CreatesRefused(error.message, hint=error.hint, provider=NAME) from None


def retired(answer: ApiResponse) -> FatalError:
    """Return the error of an API that is no longer available."""
    return FatalError(
        f"Mux Robots v0 is no longer available: {answer.error()}",
        hint="v0 ends six months after v1's launch. Look for a batchcap that supports v1; "
        "the ledger can be used with it.",
        provider=NAME,
    )
