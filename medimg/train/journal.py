"""What a run leaves to look at: log.jsonl, curves.png, and TensorBoard events where tensorboard is installed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

from medimg import files

LOG = "log.jsonl"
CURVES = "curves.png"
EVENTS = "tensorboard"

SMOOTHED = 50
"""Steps over which the drawn loss is averaged; single batches swing."""

NOT_DRAWN = ("step", "seconds")


class Journal:
    """The log of one run, which may go on after a kill: entries after the checkpoint's step are written anew."""

    def __init__(self, folder: Path, step: int) -> None:
        self.folder = folder
        self.entries = [entry for entry in read_log(folder) if entry["step"] <= step]
        text = "".join(json.dumps(entry) + "\n" for entry in self.entries)
        files.write_text(folder / LOG, text)
        self.events = _event_writer(folder / EVENTS, step)

    def write(self, entry: dict[str, Any]) -> None:
        """Append one step's values; draw the curves again after a validation."""
        self.entries.append(entry)
        with (self.folder / LOG).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry) + "\n")
        validated = any(name.startswith("val_") for name in entry)
        if self.events is not None:
            for name, value in entry.items():
                if name not in NOT_DRAWN:
                    self.events.add_scalar(name.replace("val_", "validation/"), value, entry["step"])
            if validated:
                self.events.flush()
        if validated:
            draw_curves(self.entries, self.folder / CURVES)


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The entries of folder/log.jsonl, [] where there is none; a line cut short by a kill is left out."""
    path = folder / LOG
    entries = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            entries.append(json.loads(line))
        except ValueError:
            continue
    return entries


def draw_curves(entries: list[dict[str, Any]], path: Path) -> None:
    """Losses (averaged over SMOOTHED steps) above, validation metrics below, over the steps."""
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 7), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    losses = [name for name in entries[-1] if not name.startswith("val_") and name not in (*NOT_DRAWN, "lr")]
    steps = np.array([entry["step"] for entry in entries])
    for name in losses:
        values = np.array([entry.get(name, np.nan) for entry in entries], dtype=np.float64)
        width = max(1, min(SMOOTHED, len(values) // 4))
        above.plot(steps[width - 1 :], np.convolve(values, np.ones(width) / width, "valid"), label=name)
    validated = [entry for entry in entries if "val_score" in entry]
    for name in [name for name in validated[-1] if name.startswith("val_")] if validated else []:
        scores = [entry.get(name, np.nan) for entry in validated]
        below.plot([entry["step"] for entry in validated], scores, marker=".", label=name.removeprefix("val_"))
    for axes, title in ((above, "training"), (below, "validation (averaged weights)")):
        axes.set_title(title)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize="small")
    below.set_xlabel("step")
    with files.atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)


def _event_writer(folder: Path, step: int) -> Any:
    if importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=step + 1)
