from __future__ import annotations

import re

import pytest

from medimg.report import catalogue
from medimg.report.scene import CT_WINDOWS, OTHER_WINDOWS, SHORTCUTS

FREE = ("measure.", "source.", "label.", "value.")
"""Prefixes of words for names that come from anywhere; each is used where such a name is met."""


def used(repository) -> set[str]:
    """Keys that the templates and the modules of the report name, and those they put together."""
    package = repository / "medimg" / "report"
    text = "".join(path.read_text(encoding="utf-8") for path in [*package.glob("*.py"), *package.rglob("*.j2")])
    keys = set(re.findall(r'["\'](\w+)["\']', text))
    keys |= {f"window_{name}" for name in (*CT_WINDOWS, *OTHER_WINDOWS)} | {what for _, what in SHORTCUTS}
    keys |= {f"planes_{name}" for name in ("all", "axial", "coronal", "sagittal")}
    return keys | {f"drag_{name}" for name in ("crosshair", "measurement", "windowing", "pan")}


def test_every_text_is_there_in_every_language_with_the_same_places_for_values():
    for key, texts in catalogue.entries().items():
        assert list(texts) == list(catalogue.LANGUAGES), key
        places = {language: sorted(re.findall(r"\{(\w+)\}", text)) for language, text in texts.items()}
        assert all(texts.values()), key
        assert places["en"] == places["zh"], key


def test_no_word_is_left_over(repository):
    known = {key for key in catalogue.entries() if not key.startswith(FREE)}
    assert known - used(repository) == set()


def test_both_languages_are_in_the_page_and_values_are_escaped():
    said = catalogue.both("not_chosen", n="<b>")
    assert said == (
        '<span class="said" lang="en">Series not chosen: &lt;b&gt;</span>'
        '<span class="said" lang="zh">\u672a\u9009\u62e9\u7684\u5e8f\u5217\uff1a&lt;b&gt;</span>'
    )


def test_a_word_that_is_not_there_is_an_error():
    with pytest.raises(KeyError):
        catalogue.text("no such word", "en")
