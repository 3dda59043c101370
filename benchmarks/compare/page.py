"""The table as Markdown: what each reader did with each case, and how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from conformance.cases import CASES, Case

from compare.judge import KINDS, Verdict

Row = tuple[Case, bool, Mapping[str, Verdict]]
"""A case, whether a volume must come out of it, and each reader's verdict."""

INTRODUCTION = """\
# What DICOM readers make of it

Every case of the [conformance catalogue](../tests/conformance/cases) is a small series of an analytic phantom: its
value is known at every point in mm. Each reader gets the folder of each case and no other, with its defaults, in a
process of its own under a limit of {seconds:.0f} s and {memory} GiB. What it gives is judged voxel by voxel against
the truth at the place where the reader says the voxel lies. Through medimg the same cases run in `make test`, there
with a second series beside each that has to come out as well.

{meaning}

`warned` and `wrong` carry the median error in HU of the worst volume. A warning that a reader prints for a sound series
too is not counted as one. Pixels are square unless a case says otherwise.

Made by `{command}` on {date} with {machine}.

## Counts

{counts}

Of {total} cases, {volumes} have a volume that must come out and {rejections} have none that can be right.

{notes}## Every case

Under a case's name: what is odd about it, and what is right.
"""


def page(rows: Sequence[Row], versions: Mapping[str, str], notes: Sequence[str], about: Mapping[str, object]) -> str:
    """The whole page."""
    head = INTRODUCTION.format(
        meaning="\n".join(f"* **{kind}**: {meaning}" for kind, meaning in KINDS.items()),
        counts=counts(rows, versions),
        total=len(rows),
        volumes=sum(volume for _case, volume, _verdicts in rows),
        rejections=sum(not volume for _case, volume, _verdicts in rows),
        notes="".join(f"{note}\n\n" for note in notes),
        **about,
    )
    themes = dict.fromkeys(case.theme for case in CASES)
    parts = [_theme(theme, [row for row in rows if row[0].theme == theme], list(versions)) for theme in themes]
    return head + "".join(part for part in parts if part)


def counts(rows: Sequence[Row], versions: Mapping[str, str]) -> str:
    """How often each reader did what; the first column is what the case asks for."""
    columns = ["as it should be", "refused what can be read", *list(KINDS)[2:]]
    lines = [_line(["reader", "version", *columns]), _line(["---"] * (len(columns) + 2))]
    for reader, version in versions.items():
        told = Counter(_column(volume, verdicts[reader]) for _case, volume, verdicts in rows)
        lines.append(_line([reader, version, *(str(told[column]) for column in columns)]))
    return "\n".join(lines)


def _column(volume: bool, verdict: Verdict) -> str:
    if verdict.kind == "right" or (verdict.kind == "refused" and not volume):
        return "as it should be"
    return "refused what can be read" if verdict.kind == "refused" else verdict.kind


def _theme(theme: str, rows: Sequence[Row], readers: Sequence[str]) -> str:
    if not rows:
        return ""
    lines = [f"\n### {theme}\n", _line(["case", *readers]), _line(["---"] * (len(readers) + 1))]
    for case, volume, verdicts in rows:
        right = "a volume" if volume else "a refusal"
        name = f"`{case.name}`<br>{case.odd} *{right}*"
        lines.append(_line([name, *(_cell(verdicts[reader]) for reader in readers)]))
    return "\n".join(lines) + "\n"


def _cell(verdict: Verdict) -> str:
    if verdict.kind == "wrong":
        return f"**{f'wrong {_number(verdict.error)}'.rstrip()}**"
    return f"warned {_number(verdict.error)}" if verdict.kind == "warned" else verdict.kind


def _number(error: float | None) -> str:
    return "" if not error else f"{error:.3g}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', ' ') for cell in cells)} |"
