"""The best of several scans by a pipeline's rule; one that is refused gives way to the next, never silently."""

from __future__ import annotations

from dataclasses import dataclass, replace

from medimg.dicom.series import outline_series
from medimg.errors import InputError, Reason, UnsuitableScanError
from medimg.pipeline import Pipeline
from medimg.stages.candidates import Candidate
from medimg.stages.prefer import Preference
from medimg.stages.selection import Left, Selection, named, not_chosen_entry


@dataclass(frozen=True)
class Ranking:
    """Candidates best first, those of them that were refused already, and what else is not chosen."""

    pipeline: Pipeline
    rule: Preference
    ranked: tuple[Candidate, ...]
    others: Left
    refused: tuple[tuple[Candidate, InputError], ...] = ()

    def without_first(self, error: InputError) -> Ranking:
        """The ranking after its first was refused. Raises `error` when nothing may stand in for it."""
        if len(self.ranked) < 2 or self.rule.shortcomings(self.ranked[1]):
            raise self.refused[0][1] if self.refused else error
        return replace(self, ranked=self.ranked[1:], refused=(*self.refused, (self.ranked[0], error)))


def best(ranking: Ranking) -> Selection:
    """The first of the ranking, or what stands in for it when its headers show no whole volume."""
    rule, ranked = ranking.rule, ranking.ranked
    if len(ranked) > 1 and rule.key(ranked[0]) == rule.key(ranked[1]):
        names = "; ".join(named(candidate) for candidate in ranked if rule.key(candidate) == rule.key(ranked[0]))
        raise UnsuitableScanError(Reason.AMBIGUOUS_SERIES, f"several scans fit equally well ({names}); name one")
    first = ranked[0]
    if len(ranked) > 1 and first.headers is not None:
        outline = outline_series(first.headers)
        if outline.rejection is not None and not outline.undecided:
            return best(ranking.without_first(outline.rejection))
    (wanted,) = ranking.pipeline.inputs
    chosen = replace(first, warnings=(*first.warnings, *_warnings(ranking)))
    others = [not_chosen_entry(candidate, f"refused: {error}") for candidate, error in ranking.refused]
    others += [not_chosen_entry(candidate, rule.why_not(candidate, first)) for candidate in ranked[1:]]
    alone = len(ranked) == 1 and not ranking.refused
    why = "the only scan that fits" if alone else f"first by {rule.words}"
    return Selection(
        ranking.pipeline,
        {wanted.role: chosen},
        others + ranking.others,
        why,
        instead=lambda error: best(ranking.without_first(error)),
    )


def _warnings(ranking: Ranking) -> list[str]:
    """What a reader must know of the choice: better scans that were refused, and what the chosen one lacks."""
    first = ranking.ranked[0]
    told = [
        f"{named(candidate)} comes first by the rule and was refused ({error}); {named(first)} was taken instead: "
        f"{ranking.rule.why_not(first, candidate)}"
        for candidate, error in ranking.refused
    ]
    lacks = ranking.rule.shortcomings(first) if first.headers is not None else []
    return told + [f"{named(first)} was the best there is, and not what the rule asks for: {lack}" for lack in lacks]
