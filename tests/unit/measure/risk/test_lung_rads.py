"""Every row of the table of Lung-RADS v2022 (November 2022)."""

from __future__ import annotations

import pytest

from medimg.measure.risk.facts import NoduleFacts
from medimg.measure.risk.lung_rads import AIRWAY_AND_CYST, MANAGEMENT, NO_NODULE, lung_rads, row_of


def facts(nodule_type, size, status, **more) -> NoduleFacts:
    known = {"benign_pattern": False, "touches_pleura": False, "smooth_shape": False, "solid_growing": False}
    return NoduleFacts(nodule_type, size, status=status, **{**known, **more})


SOLID = [
    (5.9, "baseline", "2"), (6.0, "baseline", "3"), (7.9, "baseline", "3"), (8.0, "baseline", "4A"),
    (14.9, "baseline", "4A"), (15.0, "baseline", "4B"), (40.0, "baseline", "4B"),
    (3.9, "new", "2"), (4.0, "new", "3"), (5.9, "new", "3"), (6.0, "new", "4A"), (7.9, "new", "4A"), (8.0, "new", "4B"),
    (5.0, "growing", "4A"), (7.9, "growing", "4A"), (8.0, "growing", "4B"), (20.0, "growing", "4B"),
    (5.0, "slowly_growing", "4B"), (12.0, "slowly_growing", "4B"),
]  # fmt: skip


@pytest.mark.parametrize(("size", "status", "category"), SOLID)
def test_solid_nodules(size, status, category):
    assert row_of(facts("solid", size, status)).category == category


PART_SOLID = [
    (5.9, 3.0, "baseline", False, "2"), (6.0, 5.9, "baseline", False, "3"), (20.0, 5.9, "baseline", False, "3"),
    (8.0, 6.0, "baseline", False, "4A"), (12.0, 7.9, "baseline", False, "4A"), (12.0, 8.0, "baseline", False, "4B"),
    (5.9, 2.0, "new", False, "3"), (8.0, 3.9, "new", False, "4A"), (8.0, 4.0, "new", False, "4B"),
    (8.0, 3.9, "growing", True, "4A"), (8.0, 4.0, "growing", True, "4B"), (5.0, 3.9, "growing", True, "4A"),
    (8.0, 5.0, "growing", False, "3"), (5.5, 3.0, "growing", False, "2"), (9.0, 6.5, "growing", False, "4A"),
    (8.0, 3.0, "slowly_growing", False, "4B"),
]  # fmt: skip


@pytest.mark.parametrize(("size", "solid", "status", "grows", "category"), PART_SOLID)
def test_part_solid_nodules(size, solid, status, grows, category):
    known = facts("part_solid", size, status, solid_mean_diameter_mm=solid, solid_growing=grows)
    assert row_of(known).category == category


GROUND_GLASS = [
    (29.9, "baseline", "2"), (29.9, "new", "2"), (29.9, "growing", "2"), (29.9, "stable", "2"),
    (29.9, "slowly_growing", "2"), (30.0, "baseline", "3"), (30.0, "new", "3"), (30.0, "growing", "3"),
    (30.0, "stable", "2"), (30.0, "slowly_growing", "2"),
]  # fmt: skip


@pytest.mark.parametrize(("size", "status", "category"), GROUND_GLASS)
def test_ground_glass_nodules(size, status, category):
    assert row_of(facts("ground_glass", size, status)).category == category


@pytest.mark.parametrize(
    ("size", "status", "category"),
    [(9.9, "baseline", "2"), (9.9, "new", "2"), (10.0, "baseline", "4A"), (7.0, "growing", "4A")],
)
def test_juxtapleural_nodules(size, status, category):
    known = facts("solid", size, status, touches_pleura=True, smooth_shape=True)
    assert row_of(known).category == category


def test_a_nodule_at_the_pleura_that_is_not_smooth_is_any_solid_one():
    assert row_of(facts("solid", 9.0, "baseline", touches_pleura=True)).category == "4A"


@pytest.mark.parametrize("nodule_type", ["solid", "part_solid", "ground_glass"])
def test_benign_features_and_no_nodule_are_category_1(nodule_type):
    assert row_of(facts(nodule_type, 20.0, "baseline", benign_pattern=True, solid_mean_diameter_mm=8.0)).category == "1"
    assert NO_NODULE.category == "1"


@pytest.mark.parametrize(
    ("before", "months", "category"),
    [
        ("3", 6.0, "2"),
        ("3", 5.6, "2"),
        ("3", 3.0, "3"),
        ("4A", 3.0, "3"),
        ("4A", 1.0, "4A"),
        ("4B", 12.0, "4B"),
        ("2", 12.0, "2"),
    ],
)
def test_stable_nodules_step_down_after_their_follow_up(before, months, category):
    known = facts("solid", 7.0, "stable", prior_category=before, months_since_prior=months)
    assert row_of(known).category == category


def test_a_stable_nodule_of_unknown_category_may_have_had_any():
    result = lung_rads(facts("solid", 12.0, "stable", months_since_prior=4.0))
    assert [row.category for row in result.rows["stable"]] == ["2", "3", "3", "4B"]
    assert result.missing == ("prior_category",)
    with pytest.raises(ValueError, match="the category a stable nodule had"):
        row_of(facts("solid", 12.0, "stable"))


@pytest.mark.parametrize(
    ("finding", "category"),
    [("airway nodule, subsegmental, at baseline, new or stable", "2"),
     ("airway nodule, segmental or more proximal, at baseline or new", "4A"),
     ("airway nodule, segmental or more proximal, stable or growing", "4B"),
     ("growing cystic component of a thick-walled cyst", "3"),
     ("thick-walled or multilocular cyst at baseline", "4A"),
     ("thin- or thick-walled cyst that becomes multilocular", "4A"),
     ("thick-walled cyst with growing wall or nodularity", "4B"),
     ("growing multilocular cyst, or one with more loculation or opacity", "4B")],
)  # fmt: skip
def test_airway_nodules_and_cysts_that_a_reader_tells(finding, category):
    assert AIRWAY_AND_CYST[finding].category == category


def test_every_category_has_its_management():
    assert MANAGEMENT["2"] == MANAGEMENT["1"] == "12-month screening LDCT"
    assert MANAGEMENT["3"] == "6-month LDCT"
    assert MANAGEMENT["4A"].startswith("3-month LDCT")
    assert "tissue sampling" in MANAGEMENT["4B"]


def test_sizes_are_taken_to_one_decimal():
    assert row_of(facts("solid", 5.96, "baseline")).category == "3"
    assert row_of(facts("solid", 5.94, "baseline")).category == "2"


def test_where_everything_is_known_the_answer_is_one_row_and_nothing_is_missing():
    result = lung_rads(facts("solid", 7.0, "baseline"))
    assert (result.low, result.high, result.missing) == ("3", "3", ())
    assert [row.words for row in result.rows["baseline"]] == ["solid nodule >=6 to <8 mm at baseline"]


def test_an_unknown_status_makes_a_range_over_every_status():
    result = lung_rads(facts("solid", 7.0, None))
    assert set(result.rows) == {"baseline", "new", "growing", "slowly_growing", "stable"}
    assert (result.low, result.high) == ("2", "4B")
    assert "status" in result.missing


def test_an_unknown_type_makes_a_range_over_every_type():
    result = lung_rads(facts(None, 20.0, "baseline"))
    assert (result.low, result.high) == ("2", "4B")
    assert "nodule_type" in result.missing


def test_an_unknown_solid_component_makes_a_range_no_larger_than_the_nodule():
    assert (
        lung_rads(facts("part_solid", 7.0, "baseline")).low,
        lung_rads(facts("part_solid", 7.0, "baseline")).high,
    ) == ("3", "4A")
    assert lung_rads(facts("part_solid", 12.0, "baseline")).high == "4B"


def test_the_range_holds_the_answer_whatever_the_missing_value_is():
    """Every completion of a nodule with a gap has its category within the range of the gap."""
    order = ["1", "2", "3", "4A", "4B"]
    whole = lung_rads(facts("solid", None, None))
    for size, status, _ in SOLID:
        category = row_of(facts("solid", size, status)).category
        assert order.index(whole.low) <= order.index(category) <= order.index(whole.high)
        with_size = lung_rads(facts("solid", size, None))
        assert category in {row.category for row in with_size.rows[status]}


def test_a_row_needs_a_type_and_a_status():
    with pytest.raises(ValueError, match="needs a nodule type"):
        row_of(NoduleFacts(mean_diameter_mm=5.0))
