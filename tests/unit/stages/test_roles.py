"""Roles and modality told by names, descriptions and voxels; None where they are not plain."""

from __future__ import annotations

import pytest

from medimg.stages.roles import role_of_description, role_of_name


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("BraTS-GLI-00000-000-t1c", "t1c"),
        ("BraTS2021_00006_t1ce", "t1c"),
        ("BraTS2021_00006_t1", "t1n"),
        ("sub-01_ce-gadolinium_T1w", "t1c"),
        ("sub-01_ce-gd_run-1_T1w", "t1c"),
        ("sub-01_T1w", "t1n"),
        ("sub-01_FLAIR", "t2f"),
        ("t2", "t2w"),
        ("not2", None),
        ("chest", None),
    ],
)
def test_a_role_is_told_by_the_end_of_a_name(name, role):
    assert role_of_name(name) == role


@pytest.mark.parametrize(
    ("description", "role"),
    [
        ("AX T1 POST GAD", "t1c"),
        ("T1 MPRAGE +C", "t1c"),
        ("T1_CE_axial", "t1c"),
        ("t1_tse_gd", "t1c"),
        ("AX T1 two station POST", "t1c"),
        ("T1 POST compression", "t1c"),
        ("Sag T1 pre contrast", "t1n"),
        ("T1 w/o contrast", "t1n"),
        ("AX T2 FLAIR FS", "t2f"),
        ("t2_tse_tra", "t2w"),
        ("Ax T1 FLAIR", None),
        ("AX T2* GRE", None),
        ("T2_star", None),
        ("t2_fl2d_hemo", None),
        ("T1 and T2 map", None),
        ("DWI b1000", None),
    ],
)
def test_a_role_is_told_by_a_plain_description(description, role):
    assert role_of_description(description) == role
