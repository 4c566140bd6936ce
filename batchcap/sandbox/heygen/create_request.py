"""Validates the bodies of creates and batches of translations."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from batchcap.sandbox.languages import tags_by_name

MAX_BATCH_ITEMS = 100
"""Bodies times languages of one batch (HeyGen docs)."""

_Text = Annotated[str, msgspec.Meta(min_length=1)]


class VideoUrl(msgspec.Struct, frozen=True, tag="url"):
    """A source that HeyGen downloads."""

    url: _Text


class VideoAsset(msgspec.Struct, frozen=True, tag="asset_id"):
    """A source that was uploaded to HeyGen."""

    asset_id: _Text


class CreateTranslation(msgspec.Struct, frozen=True):
    """A create; some fields are validated and have no other use in the sandbox."""

    video: VideoUrl | VideoAsset
    output_languages: Annotated[list[_Text], msgspec.Meta(min_length=1)]
    enable_caption: bool = False
    mode: Literal["speed", "precision"] = "speed"
    title: str | None = None
    callback_id: str | None = None
    callback_url: str | None = None

    @property
    def source(self) -> str:
        """The URL or id of the source video."""
        return self.video.url if isinstance(self.video, VideoUrl) else self.video.asset_id


class CreateBatch(msgspec.Struct, frozen=True):
    """A batch of creates."""

    video_translations: Annotated[list[CreateTranslation], msgspec.Meta(min_length=1)]
    title: str | None = None


class InvalidCreateError(Exception):
    """A body that HeyGen refuses with 400; `parameter` names the field."""

    def __init__(self, parameter: str, message: str) -> None:
        super().__init__(message)
        self.parameter = parameter


def parse_translation(body: bytes) -> CreateTranslation:
    """Return the create in a body.

    Raises:
        InvalidCreateError: the body is invalid.
    """
    try:
        create = msgspec.json.decode(body, type=CreateTranslation)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidCreateError("body", str(error)) from None
    _check_languages(create)
    return create


def parse_batch(body: bytes) -> CreateBatch:
    """Return the batch in a body.

    Raises:
        InvalidCreateError: the body is invalid, or has more than 100 items.
    """
    try:
        batch = msgspec.json.decode(body, type=CreateBatch)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidCreateError("body", str(error)) from None
    items = sum(len(create.output_languages) for create in batch.video_translations)
    if items > MAX_BATCH_ITEMS:
        message = f"{items} translations; at most {MAX_BATCH_ITEMS} are allowed"
        raise InvalidCreateError("video_translations", message)
    for create in batch.video_translations:
        _check_languages(create)
    return batch


def _check_languages(create: CreateTranslation) -> None:
    for name in create.output_languages:
        if name not in tags_by_name():
            raise InvalidCreateError("output_languages", f"{name} is not a supported language")
