"""An export of toy scans: what a batch is to find, to do and to refuse."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from toy import chest_crop

from medimg.batch.exports import Export
from medimg.batch.run import Batch, Options

CENTER = (20.0, 22.0, 18.0)


@pytest.fixture
def pipeline(tmp_path: Path, repository: Path) -> Path:
    """A copy of the detector by shape, without pictures: a worker need not import torch, which takes it seconds."""
    copy = Path(shutil.copytree(repository / "pipelines" / "lung_nodule_classical", tmp_path / "toy"))
    document = yaml.safe_load((copy / "pipeline.yaml").read_text(encoding="utf-8"))
    document["stages"][-1]["report"]["formats"] = ["json", "csv", "nifti", "sr"]
    (copy / "pipeline.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return copy


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Two crops of chests in folders of their own, one of them twice, and a text file."""
    root = tmp_path / "export"
    for name, radius in (("a", 5.0), ("b", 6.0)):
        (root / name).mkdir(parents=True)
        chest_crop(root / name / f"{name}.nii.gz", np.eye(4), CENTER, radius_mm=radius)
    (root / "again").mkdir()
    (root / "again" / "copy.nii.gz").write_bytes((root / "a" / "a.nii.gz").read_bytes())
    (root / "notes.txt").write_text("no scan", encoding="utf-8")
    return root


@pytest.fixture
def batch(tmp_path: Path, export: Path, pipeline: Path):
    """Makes a batch on the export; options as given."""

    def make(listener=lambda event: None, roots=(export,), output=tmp_path / "out", **options) -> Batch:
        chosen = Options(**{"pipelines": (str(pipeline),), "workers": 1, **options})
        return Batch(Export(tuple(roots)), output, chosen, listener)

    return make
