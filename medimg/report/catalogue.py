"""The words of the report in the languages it speaks: words.json holds them, key -> one text for each language."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from markupsafe import Markup

LANGUAGES = ("en", "zh")
"""In the order of the texts in words.json. The first is that of everything that is not in there."""

Say = Any
"""`one(language)` or `both`: key and the values for its braces -> text."""


@functools.cache
def entries() -> Mapping[str, dict[str, str]]:
    """Key -> language -> text."""
    source = resources.files("medimg.report").joinpath("words.json").read_text(encoding="utf-8")
    return {key: dict(zip(LANGUAGES, texts, strict=True)) for key, texts in json.loads(source).items()}


def text(key: str, language: str, **values: object) -> str:
    """One text. Raises KeyError for a key that is not in words.json."""
    return entries()[key][language].format(**values)


def both(key: str, **values: object) -> Markup:
    """The text in every language, as HTML: the stylesheet shows that of the page. Values are escaped."""
    span = Markup('<span class="said" lang="{}">{}</span>')
    return Markup("").join(span.format(language, text(key, language, **values)) for language in LANGUAGES)


def knows(key: str) -> bool:
    """Whether words.json has it: names of measurements and labels may come from anywhere."""
    return key in entries()
