"""CSV files: by the names of their columns, and what is wrong with its line."""

from __future__ import annotations

import math

import numpy as np
import pytest

from medimg.datalist.csv_file import check_unique, read_columns
from medimg.errors import DataError


@pytest.fixture
def table(tmp_path):
    def write(text, encoding="utf-8"):
        path = tmp_path / "table.csv"
        path.write_text(text, encoding=encoding)
        return path

    return write


def test_columns_are_found_by_name_wherever_they_stand(table):
    path = table("extra,b,a\n,2, x \n\n,3,y\n")
    found = read_columns(path, ["a", "b"], ["c"])
    assert found.text("a") == ("x", "y")
    assert found.numbers("b").tolist() == [2.0, 3.0]
    assert "c" not in found
    assert found.lines == (2, 4)


def test_a_byte_order_mark_is_no_part_of_the_first_name(table):
    assert read_columns(table("id\n1\n", "utf-8-sig"), ["id"]).text("id") == ("1",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n", "not exactly one column c"),
        ("a,c,c\n1,2,3\n", "not exactly one column c"),
        ("", "not exactly one column a, c"),
        ("a,c\n1\n", "line 2: 1 fields, the header has 2"),
    ],
)
def test_a_table_of_other_columns_is_refused(table, text, words):
    with pytest.raises(DataError, match=words):
        read_columns(table(text), ["a", "c"])


@pytest.mark.parametrize("value", ["nan", "inf", "-Infinity", "high", "", "1,5"])
def test_what_is_no_finite_number_is_named_with_its_line(table, value):
    path = table(f'p\n0.5\n"{value}"\n'.replace('""', '" "'))
    with pytest.raises(DataError, match=r"line 3: p is .*not a finite number"):
        read_columns(path, ["p"]).numbers("p")


def test_an_empty_field_may_stand_for_not_known(table):
    found = read_columns(table("d,x\n4,1\n,1\n"), ["d"]).numbers("d", empty=math.nan)
    assert found[0] == 4
    assert np.isnan(found[1])
    with pytest.raises(DataError, match="line 3"):
        read_columns(table("d,x\n4,1\nnan,1\n"), ["d"]).numbers("d", empty=math.nan)


def test_a_file_that_is_missing_or_no_text_is_said(tmp_path):
    with pytest.raises(DataError, match="is missing"):
        read_columns(tmp_path / "none.csv", ["a"])
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DataError, match="cannot be read as CSV"):
        read_columns(tmp_path / "bytes.csv", ["a"])


def test_a_name_that_stands_twice_is_said(tmp_path):
    with pytest.raises(DataError, match="id b stands there twice"):
        check_unique(tmp_path, "id", ["a", "b", "b"])
