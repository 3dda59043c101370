"""Which run predicts which case: of several folds, the one that has not seen it."""

from __future__ import annotations

from collections.abc import Sequence

from medimg.datalist.folds import own_folds, parse_fold
from medimg.datalist.read import DatalistCase
from medimg.errors import UsageError
from medimg.pipeline import Pipeline
from medimg.train.record import read_seen

Share = tuple[Pipeline, list[DatalistCase]]


def shares(
    cases: Sequence[DatalistCase], runs: Sequence[Pipeline], fold: str | None = None
) -> tuple[list[Share], tuple[str, ...]]:
    """Each run with the cases it only validated with, and what is to be said of the others, which are left out.

    One pipeline and no fold: all cases. fold: "k/n", of the datalist where its cases have folds, or else of the run,
    which must be of that fold. Raises UsageError when a run is of another fold, its record names no cases, two runs
    share a case, or none is left.
    """
    if len(runs) == 1 and (fold is None or all(case.fold is not None for case in cases)):
        mine = list(cases) if fold is None else _own_fold(cases, fold)
        return [(runs[0], mine)], _trained_on(runs[0], mine)
    taken: set[str] = set()
    given: list[Share] = []
    for run in runs:
        seen = read_seen(run.bundle)
        if fold is not None and seen.fold != fold:
            raise UsageError(f"{run.folder} was trained for fold {seen.fold or 'none'}, not {fold}; name its own fold")
        mine = [case for case in cases if case.id in seen.validation]
        if twice := taken & {case.id for case in mine}:
            raise UsageError(f"case {min(twice)} was left out by two of the runs; name runs of different folds")
        taken |= {case.id for case in mine}
        given.append((run, mine))
    if not taken:
        raise UsageError(
            "the runs kept none of the datalist's cases for validation; name the data they were trained on"
        )
    left = [case.id for case in cases if case.id not in taken]
    notes = (f"{len(left)} cases that no run kept for validation were left out ({left[0]}, ...)",) if left else ()
    return [share for share in given if share[1]], notes


def _trained_on(run: Pipeline, cases: Sequence[DatalistCase]) -> tuple[str, ...]:
    """A warning where the weights have seen cases, or patients, of these names, or where nobody knows."""
    try:
        seen = set(read_seen(run.bundle).training)
    except UsageError:
        return (f"{run.name} does not say what it was trained on: if these cases are among it, the figures flatter",)
    known = {case.id for case in cases if {case.id, case.patient} & seen}
    told = f"the weights were trained on {len(known)} of the cases ({min(known, default='')}, ...)"
    return (told,) if known else ()


def _own_fold(cases: Sequence[DatalistCase], fold: str) -> list[DatalistCase]:
    """The cases of fold "k/n" by the datalist's own keys."""
    number, count = parse_fold(fold)
    return [case for case, own in zip(cases, own_folds(cases, count) or (), strict=True) if own == number]
