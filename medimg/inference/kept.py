"""What one case loaded and the next can use: networks, in a process that does many (a batch's worker)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar

from medimg.inference.options import Engine

Made = TypeVar("Made")

MOST = 32
"""Things kept at most: a few pipelines and ensembles with their networks. The one not used for longest goes."""

_KEPT: OrderedDict[Hashable, object] = OrderedDict()


def kept(engine: Engine, key: Hashable, make: Callable[[], Made]) -> Made:
    """What `make` makes; under `engine.keep` what it made for the same key before.

    key: all that `make` depends on, by digest where it is read from a file.
    """
    if not engine.keep:
        return make()
    if key not in _KEPT:
        _KEPT[key] = make()
        while len(_KEPT) > MOST:
            _KEPT.popitem(last=False)
    _KEPT.move_to_end(key)
    return _KEPT[key]  # type: ignore[return-value]
