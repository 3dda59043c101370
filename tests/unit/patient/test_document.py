"""A patient context read from a file."""

from __future__ import annotations

import json

import pytest

from medimg.errors import UsageError
from medimg.patient.document import read_patient


@pytest.fixture
def write(tmp_path):
    def to_file(document):
        path = tmp_path / "context.json"
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return path

    return to_file


def own(**values):
    return {"schema": "medimg.patient/1", **values}


def test_every_value_says_that_it_came_from_the_file(write):
    context = read_patient(write(own(age_years=65, sex="female", emphysema=None)))
    assert context.known() == {"age_years": 65, "sex": "female"}
    assert dict(context.sources) == {"age_years": "patient file", "sex": "patient file"}


def test_prior_nodules_mean_that_there_is_a_prior_ct(write):
    nodule = {"center_lps_mm": [1, 2, 3], "mean_diameter_mm": 6.1, "days_before": 365, "lung_rads": "3"}
    context = read_patient(write(own(prior_nodules=[nodule])))
    assert context.prior_ct
    assert context.prior_nodules[0].center_lps_mm == (1, 2, 3)
    assert read_patient(write(own(prior_nodules=[]))).prior_nodules == ()


@pytest.mark.parametrize(
    ("document", "words"),
    [("{", "as JSON"), ("[1]", "not a JSON object"), ({}, "medimg.patient/1"), (own(ages=3), "unknown field ages"),
     (own(age_years=200), "age_years is a number from 0 to 120"), (own(prior_nodules="none"), "list of objects"),
     (own(prior_nodules=[{"size": 3}]), "center_lps_mm and mean_diameter_mm"),
     (own(prior_nodules=[{"center_lps_mm": "x", "mean_diameter_mm": 3}]), "is .x, y, z. in mm"),
     ({"resourceType": "Observation"}, "give a Bundle or a Patient")],
)  # fmt: skip
def test_a_file_that_is_no_context_is_refused_in_one_line_that_names_it(write, document, words):
    path = write(document)
    with pytest.raises(UsageError, match=words) as refused:
        read_patient(path)
    assert path.name in str(refused.value)
    assert "\n" not in str(refused.value)
