"""The Brock model against its published equation, worked by hand, and its range over what is missing."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from medimg.errors import UsageError
from medimg.measure.risk.brock import AGES_YEARS, COUNTS, WITH_SPICULATION, WITHOUT_SPICULATION, BrockInputs, brock

KNOWN = BrockInputs(62, False, False, False, 4.0, "solid", False, (4, 4), False)


def probability(inputs: BrockInputs, model=WITH_SPICULATION) -> float:
    result = brock(inputs, model)
    assert result.low == result.high
    return result.low


def test_the_centre_of_the_model_is_its_constant():
    """Age 62, four nodules, 4 mm, nothing else: logit -6.7892 with spiculation, -6.8071 without."""
    assert probability(KNOWN) == pytest.approx(1 / (1 + math.exp(6.7892)), rel=1e-6)
    assert probability(KNOWN, WITHOUT_SPICULATION) == pytest.approx(1 / (1 + math.exp(6.8071)), rel=1e-6)


WORKED = [
    # 0.0287*(70-62) + 0.6011 + 0.2961 + 0.2953 - 5.3854*((15/10)**-0.5 - 1.58113883) + 0.377 + 0.6581 + 0.7729
    #   - 0.0824*(1-4) - 6.7892 = 0.8060
    (WITH_SPICULATION, BrockInputs(70, True, True, True, 15.0, "part_solid", True, (1, 1), True), 0.6912),
    # 0.0287*(55-62) - 5.3854*((8/10)**-0.5 - 1.58113883) - 0.0824*(2-4) - 6.7892 = -4.3311
    (WITH_SPICULATION, BrockInputs(55, False, False, False, 8.0, "solid", False, (2, 2), False), 0.0130),
    # 0.0287*(65-62) + 0.6011 - 5.3854*((20/10)**-0.5 - 1.58113883) - 0.1276 - 0.0824*(1-4) - 6.7892 = -1.2753
    (WITH_SPICULATION, BrockInputs(65, True, False, False, 20.0, "ground_glass", False, (1, 1), False), 0.2184),
    # 0.0321*(65-62) + 0.3462 - 5.6693*((10/10)**-0.5 - 1.58113883) + 0.7116 - 0.0803*(1-4) - 6.8071 = -2.1175
    (WITHOUT_SPICULATION, BrockInputs(65, False, False, True, 10.0, "solid", True, (1, 1)), 0.1074),
]


@pytest.mark.parametrize(("model", "inputs", "expected"), WORKED)
def test_worked_examples(model, inputs, expected):
    assert probability(inputs, model) == pytest.approx(expected, abs=2e-4)


def test_the_published_equation_in_its_other_form_agrees():
    """Uthoff et al. 2019 give the same model uncentred, with an offset of 0.2761."""
    inputs = BrockInputs(71, True, False, True, 11.0, "part_solid", False, (3, 3), True)
    logit = 0.0287 * 71 + 0.6011 + 0.2953 - 5.3854 * (11 / 10) ** -0.5 + 0.377 - 0.0824 * 3 + 0.7729 + 0.2761
    # the offset is 0.2761 for a model without 1.58113883, 62 and 4: -6.7892 + 8.5151 - 1.7794 + 0.3296
    assert pytest.approx(0.2761, abs=2e-4) == -6.7892 + 5.3854 * 1.58113883 - 0.0287 * 62 + 0.0824 * 4
    assert probability(inputs) == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-4)


GAPS = {
    "age_years": [*AGES_YEARS, 40, 62, 75], "female": [False, True], "family_history": [False, True],
    "emphysema": [False, True], "size_mm": [1.0, 4.0, 30.0, 100.0],
    "nodule_type": ["solid", "part_solid", "ground_glass"],
    "upper_lobe": [False, True], "count": [(1, 1), (7, 7), (COUNTS[1], COUNTS[1])], "spiculated": [False, True],
}  # fmt: skip


@pytest.mark.parametrize("name", GAPS)
def test_a_missing_input_gives_the_range_over_all_its_values_and_is_named(name):
    gap = brock(replace(KNOWN, **{name: None}), WITH_SPICULATION)
    values = [probability(replace(KNOWN, **{name: value})) for value in GAPS[name]]
    assert gap.low == pytest.approx(min(values))
    assert gap.high == pytest.approx(max(values))
    assert gap.low < gap.high
    assert gap.missing == ["nodule_count" if name == "count" else name]


def test_every_input_says_what_it_adds():
    result = brock(BrockInputs(70, True, None, False, 10.0, "solid", True, (1, 3), None), WITH_SPICULATION)
    added = {term.name: (term.low, term.high) for term in result.terms}
    assert added["female"] == (0.6011, 0.6011)
    assert added["family_history"] == (0.0, 0.2961)
    assert added["nodule_count"] == pytest.approx((0.0824, 0.2472))
    assert len(added) == 9
    assert result.missing == ["family_history", "spiculated"]


def test_the_model_without_spiculation_does_not_ask_for_it():
    assert "spiculated" not in [term.name for term in brock(BrockInputs(), WITHOUT_SPICULATION).terms]


@pytest.mark.parametrize("wrong", [{"size_mm": 0.0}, {"nodule_type": "soft"}, {"count": (0, 3)}, {"count": (4, 3)}])
def test_values_the_model_cannot_take_are_refused(wrong):
    with pytest.raises(UsageError, match="Brock model"):
        replace(KNOWN, **wrong)
