"""The latest messages: their order, and which ids are known."""

from __future__ import annotations

import pytest

from batchcap.web import messages
from batchcap.web.messages import Messages

pytestmark = pytest.mark.anyio


def read(kept: Messages, identifier: str) -> list[bytes]:
    """Return the data of all messages after an id, one by one as a reader takes them."""
    taken = []
    while (following := kept.next(identifier)) is not None:
        identifier, data = following
        assert data.startswith(b"id: %s\n" % identifier.encode())
        taken.append(data.partition(b"data: ")[2].rstrip())
    return taken


async def test_messages_after_an_id_come_in_order() -> None:
    kept = Messages()
    first = kept.last_id
    kept.publish(b"1")
    second = kept.last_id
    kept.publish(b"2")
    assert read(kept, first) == [b"1", b"2"]
    assert read(kept, second) == [b"2"]
    assert read(kept, kept.last_id) == []


async def test_message_above_the_limit_makes_the_oldest_id_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(messages, "MAX_BYTES", 200)
    kept = Messages()
    first = kept.last_id
    for _ in range(3):
        kept.publish(b"x" * 60)
    assert not kept.is_known(first)
    assert len(read(kept, kept.last_id)) == 0
    assert kept.is_known(kept.last_id)


async def test_restart_makes_every_id_unknown() -> None:
    kept = Messages()
    kept.publish(b"1")
    before = kept.last_id
    kept.restart()
    assert not kept.is_known(before)
    kept.publish(b"2")
    assert not kept.is_known(before)


@pytest.mark.parametrize("ahead", ["1", "99999999999999", "-1", "", "x", "\u0661"])
async def test_id_that_was_never_given_is_unknown(ahead: str) -> None:
    kept = Messages()
    series = kept.last_id.partition("-")[0]
    assert not kept.is_known(f"{series}-{ahead}")
