"""What a case is: its name, what is odd about it, the files it writes, and what must come out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from conformance.cases.phantom import Phantom

from medimg.errors import Reason

ROUNDING = 0.51
"""Half a grey value: pixels are whole numbers, the field is not."""


class CannotBeMadeError(Exception):
    """This machine has no means to make the case's files."""


@dataclass(frozen=True)
class Truth:
    """A volume that must come out: so many slices, the phantom's field plus `add` at every voxel centre."""

    slices: int
    add: float = 0.0
    tolerance: float = ROUNDING
    air: bool = False
    """Voxels of -1000 are allowed as well: what lay outside the scanned circle."""


@dataclass(frozen=True)
class Expected:
    """What must come out of the folder a case wrote.

    volumes: in any order. rejected: reason of each series that is rejected; of several in a tuple, any is right.
    excluded, skipped: how many files end there for which reason. guess: nothing tells which of the images is true,
    so that a reader which hands out a volume has guessed, even where the guess happens to be right. harmless: there
    is nothing in the pixels that a volume could show wrongly.
    """

    volumes: tuple[Truth, ...] = ()
    rejected: tuple[Reason | tuple[Reason, ...], ...] = ()
    excluded: Counter[Reason] = field(default_factory=Counter)
    skipped: Counter[Reason] = field(default_factory=Counter)
    guess: bool = False
    harmless: bool = False


def volumes(*truths: Truth | int, **others: Any) -> Expected:
    """Volumes come out; a bare number is one of so many slices of the plain field."""
    return Expected(tuple(Truth(each) if isinstance(each, int) else each for each in truths), **_counted(others))


def rejected(*reasons: Reason | tuple[Reason, ...], **others: Any) -> Expected:
    """No volume comes out; one series is rejected for each reason."""
    return Expected(rejected=reasons, **_counted(others))


def _counted(others: dict[str, Any]) -> dict[str, Any]:
    return {key: Counter(value) if key in ("excluded", "skipped") else value for key, value in others.items()}


@dataclass(frozen=True)
class Case:
    """`write` puts the files into a phantom's folder and returns what must come out of it."""

    name: str
    theme: str
    odd: str
    write: Callable[[Phantom], Expected]


class Theme:
    """The cases of one module, in the order in which they stand there."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.all: list[Case] = []

    def case(self, write: Callable[[Phantom], Expected]) -> Callable[[Phantom], Expected]:
        """Decorator: the function is a case, called as the function is, and its docstring says what is odd."""
        self._add(write.__name__, write.__doc__, write)
        return write

    def each(self, **variants: Any) -> Callable[[Callable[..., Expected]], Callable[..., Expected]]:
        """Decorator: one case a variant, its value handed to the function as second argument."""

        def decorate(write: Callable[..., Expected]) -> Callable[..., Expected]:
            for label, value in variants.items():
                odd = f"{(write.__doc__ or '').rstrip('.')}: {label.replace('_', ' ')}."
                self._add(f"{write.__name__}__{label}", odd, partial(_with, write, value))
            return write

        return decorate

    def _add(self, name: str, odd: str | None, write: Callable[[Phantom], Expected]) -> None:
        assert odd, f"{name} does not say what is odd"
        self.all.append(Case(name.replace("_", "-"), self.name, odd, write))


def _with(write: Callable[..., Expected], value: Any, phantom: Phantom) -> Expected:
    return write(phantom, value)
