"""Several folds of a lung nodule network pooled: each crop by the model that has not seen it, scans by every model.

Networks and shapes are looked at once: what they said of each input is kept in a folder, by the digest of the weights.
The second opinion by shape is learned anew for each fold, without its patients and without the scan that is scored.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from nodule_cases import Input, crop_inputs, scan_inputs, scored
from nodule_tables import Scored
from runs import Run

from medimg import files
from medimg.bundle import Bundle, load_bundle
from medimg.classical.classifier import ShapeClassifier, read_classifier
from medimg.classical.find import Opinion, candidates, judged, opinion
from medimg.classical.shape import FEATURES
from medimg.inference.detect_options import DetectOptions
from medimg.inference.device import choose_device
from medimg.inference.find import find
from medimg.inference.roi import Chest
from medimg.pipeline import SHAPE, Pipeline, load_pipeline
from medimg.results import Finding
from medimg.stages.case import Clock
from medimg.stages.chain import open_case
from medimg.stages.detect import CANDIDATE_PROBABILITY
from medimg.stages.select import select
from medimg.train.nodule_data import load_crops
from medimg.train.nodule_split import background, split_patients
from medimg.train.shape import Described, described_cases, learn, read_shape_config

LOWEST = 0.01
"""Of the network's own probability; where shapes are looked at as well, CANDIDATE_PROBABILITY as in the pipeline."""

FIELDS = ("center_ras_mm", "features", "label", "weight")
"""Of `Described`."""

NOTHING = Opinion(np.empty((0, 3)), np.empty(0), np.empty(0), np.empty((0, len(FEATURES))), True)
"""Of an input in which the network saw no candidate."""


class Pool:
    """Runs of all folds on `data`; `kept`: folder of what they said."""

    def __init__(self, pipeline: Pipeline, data: Path, kept: Path, threads: int = 0) -> None:
        self.pipeline, self.data, self.kept = pipeline, data, kept
        self.options = DetectOptions.from_stage({**pipeline.options("infer"), "threshold": LOWEST})
        self.device = choose_device("auto", threads=threads)
        # the second opinion is the classical detector's
        self.shape = read_shape_config(load_pipeline("lung_nodule_classical").folder / "train.yaml")
        self.shipped = read_classifier(pipeline.bundle / SHAPE)
        self.learned: dict[frozenset[str], ShapeClassifier] = {}

    def rows(self, runs: list[Run], weight: float) -> Iterator[Scored]:
        """Each unseen crop once, each whole scan once a run; scores before calibration. weight: shape_weight."""
        crops, scans = load_crops(self.data), scan_inputs(self.data)
        for run in runs:
            free = [crop for crop in crops if crop.case not in run.holdout]
            _, unseen = split_patients(free, background(self.data), run.fold, run.seed)
            out = frozenset(crop.case for crop in unseen)
            bundle = load_bundle(run.bundle)
            # an ensemble's members share the mirror images out; one of them alone sees them all
            self.options = replace(self.options, flips=_flips(run))
            for entry in [*crop_inputs(self.data, unseen), *scans]:
                findings, every, seconds = self._heard(run, bundle, entry)
                if weight > 0 and findings:
                    logit = self._classifier(out | {entry.case}).logit(every.features)
                    found = [f for f in findings if (f.probability or 0) >= CANDIDATE_PROBABILITY]
                    findings = judged(found, replace(every, logit=logit), weight)
                yield scored(entry, findings, seconds, run.fold)

    def _heard(self, run: Run, bundle: Bundle, entry: Input) -> tuple[list[Finding], Opinion, float]:
        """The network's findings, the blobs near its candidates, and the seconds both took."""
        flips = "-flips" if self.options.flips else ""
        path = self.kept / f"{entry.kind}-{entry.case}-{run.digest()}{flips}.npz"
        if not path.exists():
            self._listen(path, bundle, entry)
        with np.load(path) as kept:
            findings = [Finding.from_dict(found) for found in json.loads(str(kept["findings"]))]
            centres, features = kept["centres"], kept["features"]
            every = Opinion(centres, np.exp(features[:, 0]), np.zeros(len(features)), features, bool(kept["whole"]))
            return findings, every, float(kept["seconds"])

    def _listen(self, path: Path, bundle: Bundle, entry: Input) -> None:
        chest = Chest(open_case(select([(None, entry.path)], self.pipeline), Clock()).first)
        began = time.perf_counter()
        findings, _ = find(bundle, chest, self.options, self.device)
        found = [finding for finding in findings if (finding.probability or 0) >= CANDIDATE_PROBABILITY]
        every = opinion(candidates(chest), self.shipped, found) if found else NOTHING
        with files.atomic_path(path) as temporary, temporary.open("wb") as stream:
            np.savez(
                stream,
                findings=json.dumps([found.to_dict() for found in findings]),
                centres=every.center_lps_mm,
                features=every.features,
                whole=every.whole,
                seconds=time.perf_counter() - began,
            )

    def _classifier(self, out: frozenset[str]) -> ShapeClassifier:
        """Learned without these patients."""
        if out not in self.learned:
            self.learned[out] = learn([case for case in self._described if case.case not in out], self.shape.penalty)
        return self.learned[out]

    @cached_property
    def _described(self) -> list[Described]:
        """The blobs of every training case; measured once."""
        path = self.kept / f"shapes-{self.shape.blobs}.npz"
        if not path.exists():
            cases = described_cases(self.data, self.shape.holdout, self.shape.blobs)
            arrays = {f"{i}/{case.case}/{name}": getattr(case, name) for i, case in enumerate(cases) for name in FIELDS}
            with files.atomic_path(path) as temporary, temporary.open("wb") as stream:
                np.savez(stream, **arrays)
        with np.load(path) as kept:
            keys = list(dict.fromkeys(name.rpartition("/")[0] for name in kept))
            return [Described(key.partition("/")[2], *(kept[f"{key}/{name}"] for name in FIELDS)) for key in keys]


def _flips(run: Run) -> bool:
    """Whether the run's own pipeline averages over mirror images."""
    return DetectOptions.from_stage(load_pipeline(str(run.folder)).options("infer")).flips
