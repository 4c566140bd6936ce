"""The options that say how captions are checked, for runs and for files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import Group, Parameter

from batchcap.captions.glossary import terms_in
from batchcap.cli.configuration.configuration import on_command_line
from batchcap.domain.errors import UsageError
from batchcap.domain.quality import ERRORS, Finding, QualitySettings
from batchcap.domain.settings import Settings

QUALITY = Group("Quality")
DEFAULT_RULES = "netflix"

Rules = Annotated[
    Literal["netflix", "bbc", "none"] | None,
    Parameter(group=QUALITY, help="Whose limits of speed, length and lines hold (netflix)."),
]
NeverTranslate = Annotated[
    Path | None,
    Parameter(
        group=QUALITY,
        help="A file of terms, one a line, that must be in captions as they are in their source.",
    ),
]


@Parameter(name="*")
@dataclass(frozen=True)
class QualityOptions:
    """Whether and how the captions of a run are checked."""

    quality: Annotated[
        bool,
        Parameter(
            group=QUALITY,
            negative="",
            help="Check the text and the times of every caption, and record what is found.",
        ),
    ] = False
    caption_rules: Rules = None
    never_translate: NeverTranslate = None
    strict_captions: Annotated[
        bool,
        Parameter(
            group=QUALITY,
            negative="",
            help="Refuse captions with findings that are errors: their rows fail (bad_quality).",
        ),
    ] = False
    strict_findings: Annotated[
        str,
        Parameter(
            group=QUALITY,
            help="The findings that --strict-captions refuses, like too_fast,errors; or all.",
        ),
    ] = ""

    def applied(self, settings: Settings) -> Settings:
        """Return the settings with these choices.

        Raises:
            UsageError: A value is wrong, or an option needs --quality.
        """
        strict = self.strict_captions or bool(self.strict_findings)
        if not (self.quality or strict):
            rules = {
                "--caption-rules": self.caption_rules,
                "--never-translate": self.never_translate,
            }
            if on_command_line(rules):
                raise UsageError("--caption-rules and --never-translate need --quality")
            return settings
        kinds = parse_findings("--strict-findings", self.strict_findings or "errors")
        quality = QualitySettings(
            rules=self.caption_rules or DEFAULT_RULES,
            terms=read_terms(self.never_translate),
            strict=kinds if strict else frozenset(),
        )
        return msgspec.structs.replace(settings, quality=quality)


def parse_findings(option: str, text: str) -> frozenset[Finding]:
    """Parse kinds of findings with commas between them; `errors` and `all` stand for many.

    Raises:
        UsageError: One is unknown; the message names `option`.
    """
    kinds: set[Finding] = set()
    for name in filter(None, re.split(r"[,;\s]+", text)):
        if name in {"all", "errors"}:
            kinds |= ERRORS if name == "errors" else set(Finding)
        elif name in {*Finding}:
            kinds.add(Finding(name))
        else:
            hint = f"There are: errors, all, {', '.join(Finding)}"
            raise UsageError(f"{option}: unknown finding {name[:40]!r}", hint=hint)
    return frozenset(kinds)


def read_terms(path: Path | None) -> tuple[str, ...]:
    """Return the terms of a file; none without a file.

    Raises:
        UsageError: It cannot be read, or is no UTF-8 text.
    """
    if path is None:
        return ()
    try:
        return terms_in(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--never-translate {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UsageError(f"--never-translate {path}: not UTF-8") from None
