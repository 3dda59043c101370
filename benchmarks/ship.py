"""The networks of a cross-validation become the weights and the record of a shipped pipeline.

    python benchmarks/ship.py RUN-0 RUN-1 RUN-2 --data ../shared/data/brain --pipeline brain_tumour
    python benchmarks/ship.py RUN-0 RUN-1 RUN-2 --data ../shared/data/brain --pipeline brain_tumour --record-only
    python benchmarks/ship.py RUN-0 RUN-1 RUN-2 --first FIRST-0 FIRST-1 FIRST-2 --data ...    (that began with others)

Packs the runs as `medimg ensemble` does and writes models/model.pt, configs/inference.json and docs/training.json of
the pipeline's bundle, with every run's cases and, where it began with the weights of another run, that run's record.
--first is for runs of a medimg that did not yet put that record into theirs: it is found by the digest of its last.pt.
What follows by hand: the figures of the card, of metadata.json and of pipeline.yaml (`without`, thresholds), measured
with cross_validation.py or nodule_detection.py, their versions, and medimg/bundles/pins.json where a test says so.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medimg import files
from medimg.pipeline import INFERENCE_CONFIG, WEIGHTS, load_pipeline
from medimg.train.cases import data_facts, divide, read_cases
from medimg.train.checkpoint import LAST_WEIGHTS
from medimg.train.ensemble import pack_ensemble
from medimg.train.nodule_split import split
from medimg.train.record import TRAINING_RECORD


def main() -> None:
    """Pack, complete the record, copy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of medimg train, one a fold")
    parser.add_argument(
        "--first",
        nargs="*",
        type=Path,
        default=[],
        help="the runs whose weights they began with, and those whose weights these began with",
    )
    parser.add_argument("--data", type=Path, required=True, help="what they were trained on")
    parser.add_argument("--pipeline", required=True, help="whose bundle gets weights and record")
    parser.add_argument("--record-only", action="store_true", help="the weights are those that are there")
    options = parser.parse_args()
    pipeline = load_pipeline(options.pipeline)
    with tempfile.TemporaryDirectory() as folder:
        packed = pack_ensemble(options.runs, Path(folder) / "ensemble")
        record = json.loads((packed / TRAINING_RECORD).read_text(encoding="utf-8"))
        if options.record_only:
            record["weights_sha256"] = files.sha256_of_file(pipeline.weights)
        else:
            for part in (WEIGHTS, INFERENCE_CONFIG):
                shutil.copyfile(packed / part, pipeline.bundle / part)
    record["members"] = [completed(member, options.first, options.data) for member in record["members"]]
    files.write_json(pipeline.bundle / TRAINING_RECORD, record)
    print(f"{pipeline.bundle / TRAINING_RECORD}: {len(record['members'])} runs")


def completed(record: dict[str, Any], first: Sequence[Path], data: Path) -> dict[str, Any]:
    """The record with its cases and that of its first weights, and without paths of the machine it was made on."""
    task = dict(record["task"])
    if "pipeline" in task:
        task["pipeline"] = Path(task["pipeline"]).name
    found = {"data": data_facts(data), "cases": cases_of(record, data), **record, "task": task}
    start = found.get("start") or began_with(record.get("start_sha256"), first)
    return {**found, "start": completed(start, first, data) if start else None}


def began_with(digest: str | None, first: Sequence[Path]) -> dict[str, Any] | None:
    """The record of the run whose last weights have this digest. Ends the program where none of `first` has."""
    if digest is None:
        return None
    for run in first:
        if files.sha256_of_file(run / LAST_WEIGHTS) == digest:
            record = json.loads((run / "bundle" / TRAINING_RECORD).read_text(encoding="utf-8"))
            return {"run": run.name, "weights_sha256": digest, **record}
    raise SystemExit(f"a run began with the weights {digest[:12]}; name the run they are of with --first")


def cases_of(record: dict[str, Any], data: Path) -> dict[str, list[str]]:
    """The run's own list, or, where it has none, its division drawn again from seed and fold."""
    if "cases" in record:
        return dict(record["cases"])
    task, seed = record["task"], int(record["seed"])
    holdout = tuple(task.get("holdout", ()))
    if task["_target_"].endswith("NoduleTask"):
        return split(data, holdout, task["fold"], seed, task["validation_scan"], task["validation_part"]).cases
    kept, scored = divide(read_cases(data, holdout), task["fold"], seed)
    return {"training": [case.id for case in kept], "validation": [case.id for case in scored]}


if __name__ == "__main__":
    main()
