"""Findings of two lists paired one to one."""

from __future__ import annotations

from medimg.measure.pairing import Place, pair


def at(*x: float, diameter: float | None = 6.0) -> list[Place]:
    return [Place((value, 0.0, 0.0), diameter) for value in x]


def pairs(first, second, gate=15.0):
    return {(found.first, found.second) for found in pair(first, second, gate)}


def test_each_finds_its_nearest_partner():
    assert pairs(at(0, 50, 100), at(101, 2, 49)) == {(0, 1), (1, 2), (2, 0)}


def test_beyond_the_gate_nobody_is_paired():
    assert pairs(at(0), at(15.5)) == set()
    assert pairs(at(0), at(14.5)) == {(0, 0)}


def test_a_finding_in_its_place_is_not_moved_on_so_that_another_gets_a_partner():
    """0 went and 20 is new: 10 stays with itself, though two pairs of 10 mm would also fit the gate."""
    assert pairs(at(0, 10), at(10, 20)) == {(1, 0)}


def test_size_decides_between_neighbours():
    first = [Place((0, 0, 0), 4.0), Place((6, 0, 0), 16.0)]
    second = [Place((3.2, 0, 0), 4.0), Place((2.8, 0, 0), 16.0)]
    assert pairs(first, second) == {(0, 0), (1, 1)}


def test_growth_to_one_side_is_allowed_for():
    assert pairs([Place((0, 0, 0), 10.0)], [Place((18.0, 0, 0), 30.0)]) == {(0, 0)}


def test_nothing_pairs_with_nothing():
    assert pair([], at(0), 15.0) == []
    assert pair(at(0), [], 15.0) == []
    assert pairs(at(0, diameter=None), at(1, diameter=None)) == {(0, 0)}


def test_the_distance_is_told():
    (found,) = pair(at(0), at(7.25), 15.0)
    assert found.distance_mm == 7.25
