"""What a choice takes, and what it says of what it does not take."""

from __future__ import annotations

import pytest

from medimg.errors import UsageError
from medimg.stages.choose import EVERYTHING, NAMED, Choice, Scan

CHEST = Scan("1.2.3", "CT", "Thorax [lung] 1.25", "CT Thorax (1.2.3)")


@pytest.mark.parametrize(
    "choice",
    [
        EVERYTHING,
        Choice(series_uids=("9", "1.2.3")),
        Choice(modalities=("mr", "ct")),
        Choice(descriptions=("head*", "thorax*")),
        Choice(descriptions=("*1.25",), modalities=("CT",), series_uids=("1.2.3",)),
        Choice(descriptions=("* [[]lung] *",)),
    ],
)
def test_values_are_alternatives_and_options_conditions(choice):
    assert choice.refusal(CHEST) is None


@pytest.mark.parametrize(
    ("choice", "why"),
    [
        (Choice(series_uids=("1.2",)), "another series UID was asked for"),
        (Choice(modalities=("MR", "PT"), series_uids=("1.2.3",)), "modality CT, not MR or PT"),
        (Choice(descriptions=("thorax",)), "its description does not match thorax"),
    ],
)
def test_the_first_condition_that_fails_is_told(choice, why):
    assert choice.refusal(CHEST) == why


def test_a_choice_of_nothing_names_the_first_scans_and_counts_the_rest():
    scans = [Scan(str(number), "CT", "", f"CT {number}") for number in range(NAMED + 3)]
    with pytest.raises(UsageError, match=rf"CT {NAMED - 1} and 3 more"):
        Choice(modalities=("MR",)).check(scans, "folder")
    Choice(modalities=("MR",)).check([], "folder")
