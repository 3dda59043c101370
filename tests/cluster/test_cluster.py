"""A batch on a Ray cluster: what it does on one machine, whatever becomes of the nodes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from toy import chest_crop, poisonous_detector

from medimg.batch.cluster import RayPool
from medimg.batch.exports import Export
from medimg.batch.options import Cluster, Options
from medimg.batch.place import Place
from medimg.batch.rows import DONE, DUPLICATE, FAILED
from medimg.batch.run import Batch
from medimg.volumes import write_nifti

CENTER = (20.0, 22.0, 18.0)

ON_RAY = Cluster()

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def pipeline(tmp_path: Path, repository: Path) -> Path:
    """The detector by shape, without pictures."""
    copy = Path(shutil.copytree(repository / "pipelines" / "lung_nodule_classical", tmp_path / "toy"))
    document = yaml.safe_load((copy / "pipeline.yaml").read_text(encoding="utf-8"))
    document["stages"][-1]["report"]["formats"] = ["json", "csv", "nifti"]
    (copy / "pipeline.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return copy


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Six scans, one of them twice, and one that is broken when it is read."""
    root = tmp_path / "export"
    for number in range(6):
        (root / str(number)).mkdir(parents=True)
        chest_crop(root / str(number) / f"scan{number}.nii.gz", np.eye(4), CENTER, radius_mm=4.0 + number / 2)
    shutil.copy(root / "0" / "scan0.nii.gz", root / "0" / "copy.nii.gz")
    whole = (root / "1" / "scan1.nii.gz").read_bytes()
    (root / "1" / "broken.nii.gz").write_bytes(whole[: len(whole) // 2])
    return root


def run(export: Path, output: Path, pipeline: Path, listener=lambda event: None, **options):
    """The cases of a batch, by the names of their scans."""
    chosen = Options(pipelines=(str(pipeline),), **options)
    with Batch(Export((export,)), output, chosen, listener) as batch:
        batch.plan()
        batch.run()
        return {case.description: case for case in batch.journal.cases()}


def settled(cases) -> dict[str, object]:
    """What became of each case. Which of two copies is done first may differ."""
    told = {name: (case.state, case.reason, case.findings, case.attempts) for name, case in cases.items()}
    copies = sorted((told.pop("scan0")[0], told.pop("copy")[0]))
    return {**told, "copies": copies}


def answers(output: Path) -> dict[str, object]:
    """What the reports say, without when and how long."""
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in output.glob("*/report.json")]
    return {entry["inputs"][0]["sha256"]: (entry["findings"], entry["inputs"][0]["path"]) for entry in reports}


def without_paths(found: dict[str, object]) -> dict[str, object]:
    return {digest: findings for digest, (findings, _) in found.items()}


def test_a_node_killed_in_the_middle_changes_no_answer_and_nothing_is_lost_or_done_twice(
    head, nodes, export, pipeline, tmp_path
):
    local = run(export, tmp_path / "local", pipeline, workers=1)
    events = []

    def kill_one(event):
        events.append(event)
        if [entry["event"] for entry in events].count("case") == 1 and event["event"] == "case":
            head.remove_node(nodes[0], allow_graceful=False)

    output = tmp_path / "out"
    cases = run(export, output, pipeline, kill_one, cluster=ON_RAY)
    assert [event for event in events if event["event"] == "node_lost"], "no case was at work on the node"
    assert settled(cases) == settled(local)
    assert sorted(case.state for case in cases.values()) == sorted([DONE] * 6 + [DUPLICATE] + [FAILED])
    ended = [event["id"] for event in events if event["event"] == "case"]
    assert sorted(ended) == sorted({case.id for case in cases.values()})
    assert without_paths(answers(output)) == without_paths(answers(tmp_path / "local"))
    for _, path in answers(output).values():
        assert (output / "a case" / path).resolve().is_file()
    assert not list(output.glob(".medimg-case-*"))
    again = []
    run(export, output, pipeline, again.append, cluster=ON_RAY)
    assert [event["id"] for event in again if event["event"] == "case"] == [cases["broken"].id]


def test_nodes_read_headers_where_there_are_many(head, nodes, export, pipeline, tmp_path, monkeypatch):
    monkeypatch.setattr("medimg.batch.catalogue.WORTH_A_POOL", 0)

    def planned(output, **options):
        with Batch(Export((export,)), tmp_path / output, Options((str(pipeline),), **options)) as batch:
            plan = batch.plan()
            return plan.counts, plan.to_do

    assert planned("out", cluster=ON_RAY) == planned("local", workers=1)


def test_a_node_that_joins_is_given_work(head, export, pipeline, tmp_path, monkeypatch):
    monkeypatch.setattr("medimg.batch.cluster.GROW_SECONDS", 0.5)
    added = []

    def join(event):
        if event["event"] == "begin":
            added.append(head.add_node(num_cpus=1))

    cases = run(export, tmp_path / "out", pipeline, join, cluster=ON_RAY)
    head.remove_node(added[0])
    assert {case.state for case in cases.values()} == {DONE, DUPLICATE, FAILED}


def test_results_go_to_a_store_and_are_found_there_again(head, nodes, export, pipeline, tmp_path):
    store = tmp_path / "store"
    options = {"cluster": ON_RAY, "results": f"file://{store}"}
    cases = run(export, tmp_path / "out", pipeline, **options)
    whole = {case.id for case in cases.values() if case.state == DONE}
    copies = {case.id for case in cases.values() if case.state == DUPLICATE}
    stored = {path.parent.name for path in store.glob("*/report.json")}
    assert stored - copies == whole  # of two copies that were searched at the same time, both are there
    assert not list((tmp_path / "out").glob("*/report.json"))
    rows = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))["cases"]
    assert {row["report"] for row in rows if row["state"] == DONE} == {
        f"file://{store}/{name}/report.html" for name in whole
    }


def test_a_case_that_kills_its_process_is_told_from_a_node_that_is_lost(head, nodes, tmp_path):
    export = tmp_path / "export"
    export.mkdir()
    voxels = np.full((30, 30, 30), -900, np.int16)
    voxels[10, 10, 10] = 6000
    write_nifti(export / "poison.nii.gz", voxels, np.eye(4))
    pipeline = poisonous_detector(tmp_path / "poisonous")
    events = []
    cases = run(export, tmp_path / "out", pipeline, events.append, cluster=ON_RAY, trusted=True, attempts=2)
    (case,) = cases.values()
    assert (case.state, case.reason, case.attempts) == (FAILED, "out_of_memory", 2)
    assert not [event for event in events if event["event"] == "node_lost"]


def test_workers_share_a_gpu_by_fractions(head, tmp_path):
    node = head.add_node(num_cpus=4, num_gpus=1)
    claims = Cluster(gpus_per_worker=0.5)
    with RayPool(claims, Place(str(tmp_path))) as pool:
        assert len(pool.seats) == 2
        while not all(seat.node for seat in pool.seats):
            assert not list(pool.events())
    head.remove_node(node)
