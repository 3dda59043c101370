"""Names of medimg -> codes of the standard, as rows of tables; what has no row gets a private code and says so.

Codes are those of PS3.16 and of the context groups it names: CID 218 (quantitative image features), 6048
(probability), 7150 and 7151 (segmented properties), 7469 (generic intensity and size measurements). Units are UCUM.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydicom.sr.coding import Code

PRIVATE_SCHEME = "99MEDIMG"
"""Coding Scheme Designator of medimg's own codes (PS3.16 section 8: private designators begin with 99)."""

MAX_CODE = 16
"""Characters of a Code Value, an SH (PS3.5 section 6.2)."""

MAX_MEANING = 64
"""Characters of a Code Meaning, an LO (PS3.5 section 6.2)."""

MM = Code("mm", "UCUM", "millimeter")
MM2 = Code("mm2", "UCUM", "square millimeter")
MM3 = Code("mm3", "UCUM", "cubic millimeter")
ML = Code("ml", "UCUM", "milliliter")
HU = Code("[hnsf'U]", "UCUM", "Hounsfield unit")
PERCENT = Code("%", "UCUM", "percent")
DEGREES = Code("deg", "UCUM", "degree")
DAYS = Code("d", "UCUM", "day")
MG = Code("mg", "UCUM", "milligram")
NO_UNITS = Code("1", "UCUM", "no units")

UNITS: dict[str, Code] = {
    "_mm3": MM3,
    "_mm2": MM2,
    "_mm": MM,
    "_ml": ML,
    "_hu": HU,
    "_percent": PERCENT,
    "_degrees": DEGREES,
    "_days": DAYS,
    "_mg": MG,
}
"""Suffix of a measurement's name -> its unit, longer ones first; any other number has none."""


@dataclass(frozen=True)
class Quantity:
    """What a number is: its concept, its unit, and the factor from medimg's value to that unit.

    derivation: how it was made of several values (a mean, a percentile), where that is a code of its own.
    """

    concept: Code
    unit: Code
    factor: float = 1.0
    derivation: Code | None = None


CERTAINTY = Quantity(Code("111012", "DCM", "Certainty of Finding"), PERCENT, 100.0)
"""A detector's score: that the finding is there, never that it is malignant."""

DIAMETER = Code("81827009", "SCT", "Diameter")
ATTENUATION = Code("112031", "DCM", "Attenuation Coefficient")
MEAN = Code("373098007", "SCT", "Mean")

QUANTITIES: dict[str, Quantity] = {
    "probability": CERTAINTY,
    "diameter_mm": Quantity(DIAMETER, MM),
    "volume_mm3": Quantity(Code("118565006", "SCT", "Volume"), MM3),
    "long_axis_mm": Quantity(Code("103339001", "SCT", "Long Axis"), MM),
    "short_axis_mm": Quantity(Code("103340004", "SCT", "Short Axis"), MM),
    "mean_axis_mm": Quantity(DIAMETER, MM, derivation=MEAN),
    "max_3d_diameter_mm": Quantity(Code("L0JK", "IBSI", "Maximum 3D Diameter of a Mesh"), MM),
    "surface_mm2": Quantity(Code("C0JK", "IBSI", "Surface Area of Mesh"), MM2),
    "sphericity": Quantity(Code("QCFX", "IBSI", "Sphericity"), NO_UNITS),
    "mean_hu": Quantity(Code("112181", "DCM", "Mean Attenuation Coefficient"), HU),
    "median_hu": Quantity(Code("112182", "DCM", "Median Attenuation Coefficient"), HU),
    "min_hu": Quantity(Code("112179", "DCM", "Minimum Attenuation Coefficient"), HU),
    "max_hu": Quantity(Code("112180", "DCM", "Maximum Attenuation Coefficient"), HU),
    "p10_hu": Quantity(ATTENUATION, HU, derivation=Code("371890005", "SCT", "10th Percentile Value of population")),
    "p90_hu": Quantity(ATTENUATION, HU, derivation=Code("371887004", "SCT", "90th Percentile Value of population")),
    "sd_hu": Quantity(Code("112183", "DCM", "Standard Deviation of Attenuation Coefficient"), HU),
    "cancer_probability": Quantity(Code("111047", "DCM", "Probability of cancer"), PERCENT, 100.0),
}
"""A finding's numbers by their name in report.json. A new one needs one row; without, it gets a private code."""

YES, NO = Code("373066001", "SCT", "Yes"), Code("373067005", "SCT", "No")
ABSENT = Code("272519000", "SCT", "Absent")

WORDS: dict[str, Code] = {
    "right": Code("24028007", "SCT", "Right"),
    "left": Code("7771000", "SCT", "Left"),
    "right upper lobe": Code("42400003", "SCT", "Upper lobe of right lung"),
    "right middle lobe": Code("72481006", "SCT", "Middle lobe of right lung"),
    "right lower lobe": Code("266005", "SCT", "Lower lobe of right lung"),
    "left upper lobe": Code("44714003", "SCT", "Upper lobe of left lung"),
    "left lower lobe": Code("41224006", "SCT", "Lower lobe of left lung"),
    "ground-glass": Code("112120", "DCM", "Ground glass opacity"),
}
"""A finding's words (the values of its measurements that are text) -> their codes; others get private ones."""

ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
ANATOMY = Code("91723000", "SCT", "Anatomical Structure")
REGION = Code("309825002", "SCT", "Spatial and Relational Concept")

CATEGORIES = {"abnormal": ABNORMAL, "anatomy": ANATOMY, "region": REGION}
"""`medimg.pipeline.CODE_CATEGORIES` -> Segmented Property Category (CID 7150)."""


@dataclass(frozen=True)
class Property:
    """What a label or a finding is: the code of its kind and that of the category the kind belongs to."""

    kind: Code
    category: Code = ABNORMAL


PROPERTIES: dict[str, Property] = {
    "nodule": Property(Code("27925004", "SCT", "Nodule")),
    "lesion": Property(Code("52988006", "SCT", "Lesion")),
    "mass": Property(Code("4147007", "SCT", "Mass")),
    "tumour": Property(Code("108369006", "SCT", "Neoplasm")),
    "tumor": Property(Code("108369006", "SCT", "Neoplasm")),
    "oedema": Property(Code("79654002", "SCT", "Edema")),
    "edema": Property(Code("79654002", "SCT", "Edema")),
    "necrosis": Property(Code("6574001", "SCT", "Necrosis")),
    "enhancing tumour": Property(Code("C113842", "NCIt", "Enhancing Lesion")),
    "necrotic or non-enhancing core": Property(Code("C81175", "NCIt", "Non-Enhancing Lesion")),
}
"""A label's or finding's name -> what it is; a pipeline.yaml adds its own (`codes` of its report stage)."""

SITE = "site"
"""Key of a pipeline's `codes` that names the organ its findings lie in."""

PROCEDURES: dict[str, Code] = {
    "CT": Code("77477000", "SCT", "Computed tomography"),
    "MR": Code("113091000", "SCT", "Magnetic resonance imaging"),
    "PT": Code("82918005", "SCT", "Positron emission tomography"),
}
"""Modality -> Procedure Reported."""

IMAGING = Code("363679005", "SCT", "Imaging procedure")
"""Procedure Reported of any other modality."""


NUMBER_OF_FINDINGS = Code("246206008", "SCT", "Number of lesions")


def quantity(name: str) -> Quantity:
    """The row of a measurement's name, or a private concept with the unit its suffix tells; counts are of lesions."""
    if name.endswith("_count"):
        return Quantity(NUMBER_OF_FINDINGS, NO_UNITS)
    unit = next((unit for suffix, unit in UNITS.items() if name.endswith(suffix)), NO_UNITS)
    return QUANTITIES.get(name) or Quantity(private(name), unit)


def word(text: str) -> Code:
    """The code of a finding's word, or a private one."""
    return WORDS.get(text.strip().lower()) or private(text)


def private(name: str) -> Code:
    """A code of medimg's own scheme: the name itself where it is short enough, else a digest; the name its meaning."""
    meaning = " ".join(name.replace("_", " ").split()) or "unnamed"
    plain = re.fullmatch(r"[A-Za-z0-9_-]+", name) and len(name) <= MAX_CODE
    value = name if plain else "m" + hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[: MAX_CODE - 1]
    return Code(value, PRIVATE_SCHEME, meaning[:MAX_MEANING])


def property_of(name: str, own: Mapping[str, Sequence[str]]) -> Property:
    """What the label or finding of that name is: the pipeline's `own` codes come before the table.

    A numbered name (nodule-3) is of the kind without its number; an unknown one has a private code and no category
    that would say more than that it is a region.
    """
    for candidate in (name, re.sub(r"-\d+$", "", name)):
        if candidate in own:
            return Property(_own(own[candidate]), CATEGORIES[(*own[candidate], "abnormal")[3]])
        if candidate in PROPERTIES:
            return PROPERTIES[candidate]
    return Property(private(name), REGION)


def site_of(own: Mapping[str, Sequence[str]]) -> Code | None:
    """The organ a pipeline's findings lie in, where it says."""
    return _own(own[SITE]) if SITE in own else None


def _own(entry: Sequence[str]) -> Code:
    scheme, value, meaning = entry[:3]
    return Code(value, scheme, meaning)
