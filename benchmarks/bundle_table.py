"""Taking turns of whole processes that write files, and the table of what they took."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from timing import run_process

GIB = 1 << 30

Command = Callable[[Path], Sequence[str | Path]]
"""The command line that writes its results into a folder."""


@dataclass
class Runs:
    """What one contestant took in each turn. seconds; peak: largest memory, bytes; output: folder of the last turn."""

    output: Path
    seconds: list[float] = field(default_factory=list)
    peak: list[int] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Seconds of the middle turn."""
        return statistics.median(self.seconds)

    @property
    def memory(self) -> float:
        """The most memory of any turn, GiB."""
        return max(self.peak) / GIB


def take_turns(commands: dict[str, Command], folder: Path, repeats: int) -> dict[str, Runs]:
    """Whole processes, one after the other, `repeats` times after a turn that fills caches (one turn: none does)."""
    runs = {name: Runs(folder / f"results of {name}".replace(" ", "_")) for name in commands}
    turns = repeats + 1 if repeats > 1 else 1
    for turn in range(turns):
        for name, command in commands.items():
            shutil.rmtree(runs[name].output, ignore_errors=True)
            process = run_process(command(runs[name].output))
            if turn or turns == 1:
                runs[name].seconds.append(process.seconds)
                runs[name].peak.append(process.peak)
    return runs


def row(name: str, run: Runs, peer: Runs, agreement: str, bar: str) -> str:
    """One line of the table: against the peer's median, with how far both agree beside it."""
    return (
        f"| {name} | {run.median:.2f} s ({min(run.seconds):.2f}) | {peer.median / run.median:.2f} x | "
        f"{run.memory:.2f} GiB ({run.memory / peer.memory:.2f}) | {agreement} | {bar} |"
    )


HEAD = (
    "| what | median (fastest) | faster than the peer | peak memory (part of the peer's) | agreement | bar |\n"
    "|---|---|---|---|---|---|"
)
