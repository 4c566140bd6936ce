"""The account's list of translations, for a manifest."""

from __future__ import annotations

from batchcap.domain.account import (
    AccountItem,
    AccountPage,
    AccountQuery,
    creation_date,
    in_one_line,
)
from batchcap.domain.errors import RowError
from batchcap.domain.models import Json
from batchcap.transport.response import (
    ApiResponse,
    as_count,
    as_object,
    as_positive_float,
    as_text,
)

TRANSLATION_COLUMNS = (
    *("video_translate_id", "language", "title", "state", "has_caption", "duration", "created"),
)


def translations(answer: ApiResponse, query: AccountQuery) -> AccountPage:
    """Return the translations of a page of v3's list that match.

    `state` is HeyGen's own word, `has_caption` says whether there is a link to a caption now.

    Raises:
        RowError: The response has no list.
    """
    content = as_object(answer.json())
    if not isinstance(content.get("data"), list):
        raise RowError("rejected", f"the list has no data: {answer.error()}")
    items = [_item(data) for data in answer.items() if as_text(data.get("id"))]
    return AccountPage(
        count=len(answer.items()),
        items=[item for item in items if query.matches(item)],
        cursor=as_text(content.get("next_token")),
    )


def _item(data: Json) -> AccountItem:
    title = in_one_line(as_text(data.get("title")))
    created_at, duration = as_count(data.get("created_at")), as_positive_float(data.get("duration"))
    return AccountItem(
        source_id=as_text(data.get("id")),
        title=title,
        created_at=created_at or None,
        cells={
            "language": in_one_line(as_text(data.get("output_language"))),
            "title": title,
            "state": as_text(data.get("status")),
            "has_caption": "yes" if as_text(data.get("vtt_caption_url")) else "no",
            "duration": f"{duration:.3f}" if duration else "",
            "created": creation_date(created_at),
        },
    )
