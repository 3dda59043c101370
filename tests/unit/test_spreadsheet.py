"""Text out of a scan is never a formula in a spreadsheet, and is read back as it was."""

from __future__ import annotations

import csv
import io

import pytest

from medimg.spreadsheet import path_cell, plain, table


def cells(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "'=", "''@"])
def test_a_text_that_begins_as_a_formula_does_stands_behind_an_apostrophe(sign):
    text = f"{sign}cmd|' /C calc'!A0"
    assert table(["text"], [[text]]).removeprefix("text\n").lstrip('"').startswith(f"'{text[0]}")
    assert plain(cells(table(["text"], [[text]]))[1][0]) == text


@pytest.mark.parametrize("text", ["", "plain", "1.2.840", "'quoted'", "a=b", "'", "''", 'Thorax -C, "soft"', "é"])
def test_any_other_text_is_left_as_it_is(text):
    assert cells(table(["text", "n"], [[text, 1]])) == [["text", "n"], [text, "1"]]
    assert plain(text) == text


def test_numbers_are_numbers_and_what_is_not_known_is_empty():
    assert table(["a", "b", "c"], [[-1.5, None, 2]]) == "a,b,c\n-1.5,,2\n"


def test_a_nul_is_left_out():
    assert table(["text"], [["\0=a\0b"]]) == "text\n'=ab\n"


def test_nothing_within_a_text_begins_a_row():
    assert cells(table(["a", "b"], [["scan\r=cmd()", "x\n=y"]])) == [["a", "b"], ["scan\r=cmd()", "x\n=y"]]
    assert table(["a"], [["scan\r=cmd()"]]) == 'a\n"scan\r=cmd()"\n'


PATHS = [("=x/a.nii", "./=x/a.nii"), ("../a", "../a"), ("/=a", "/=a"), ("#a", "./#a"), ("'=a", "./'=a")]


@pytest.mark.parametrize(("path", "cell"), PATHS)
def test_a_path_in_a_cell_is_still_that_path(path, cell):
    assert path_cell(path) == cell
