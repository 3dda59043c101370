"""What a file's name, a series' description and the voxels tell about a scan's role and modality; never a guess."""

from __future__ import annotations

import re

import numpy as np

from medimg.study import CT_AIR_HU, MR_ROLE_ALIASES, Volume

CT_AIR_SHARE = 0.005
"""At least this part of a CT's voxels is air or lung; an MR's resampling undershoots in single voxels only."""

BIDS_CONTRAST = re.compile(r"(^|_)ce-[a-z0-9]+_(.*_)?t1w$")
"""BIDS: the entity ce-<agent> makes a T1w a contrast-enhanced one."""

CONTRAST_WORDS = re.compile(r"post.*|gad.*|gd|ce|contrast|enhanced|t1gd|t1ce|t1c|mprc|kontrast.*")
NO_CONTRAST_WORDS = frozenset({"pre", "precontrast", "without", "wo", "non", "noncontrast", "native", "nativ"})
NOT_ANATOMY_WORDS = re.compile(r"star|hemo|swi|gre|dwi|adc|perf.*|fl2d|map|mapping|loc.*|scout|relax.*|t[12]star")
"""Sequences that carry T1 or T2 in their names and are none of the four contrasts."""


def role_of_name(name: str) -> str | None:
    """MR role told by the end of a file stem ("BraTS-GLI-00000-000-t1c" -> "t1c"); None when it tells none."""
    lowered = name.lower()
    if BIDS_CONTRAST.search(lowered):
        return "t1c"
    for alias in sorted(MR_ROLE_ALIASES, key=len, reverse=True):
        if lowered == alias or lowered.endswith(("_" + alias, "-" + alias, "." + alias)):
            return MR_ROLE_ALIASES[alias]
    return None


def role_of_description(description: str) -> str | None:
    """MR role told by a series description ("AX T1 POST GAD" -> "t1c"); None when its words are not plain."""
    text = description.lower()
    words = [word for word in re.split(r"[^a-z0-9]+", text) if word]
    if any(NOT_ANATOMY_WORDS.fullmatch(word) for word in words) or "t2*" in text:
        return None
    weighted = {word[:2] for word in words if word[:2] in {"t1", "t2"} and not word[2:3].isdigit()}
    if any(word.endswith("flair") for word in words):
        return None if "t1" in weighted else "t2f"
    if weighted == {"t1"}:
        enhanced = any(CONTRAST_WORDS.fullmatch(word) for word in words) or re.search(r"\+ ?c\b", text)
        refused = not NO_CONTRAST_WORDS.isdisjoint(words) or "w/o" in text
        return "t1c" if enhanced and not refused else "t1n"
    return "t2w" if weighted == {"t2"} else None


def has_air(volume: Volume) -> bool:
    """True when enough voxels are air in Hounsfield units: a CT. Intensities alone do not tell MR from a mask."""
    return bool(np.count_nonzero(volume.array <= CT_AIR_HU) >= CT_AIR_SHARE * volume.array.size)
