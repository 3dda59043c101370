"""Several runs packed into one: the mean of their networks, each on its own mirror image, in MONAI's hands too."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
import torch
import toy
import yaml

from medimg.bundle import load_bundle, load_weights
from medimg.bundles import trust
from medimg.errors import PipelineError, UntrustedBundleError, UsageError
from medimg.pipeline import WEIGHTS, load_pipeline
from medimg.train.config import read_config
from medimg.train.ensemble import pack_ensemble
from medimg.train.members import as_ensemble, as_single, first_member, halved, joined
from medimg.train.network import fresh_network

SHIPPED = ["lung_nodule", "brain_tumour"]

WITHOUT_MEDIMG = """
import sys
sys.modules["medimg"] = None  # an import of medimg fails from here on
import torch
from monai.bundle import ConfigParser
for folder in sys.argv[1:]:
    parser = ConfigParser()
    parser.read_config(folder + "/configs/inference.json")
    network = parser.get_parsed_content("network_def")
    network.load_state_dict(torch.load(folder + "/models/model.pt", weights_only=True))
    with torch.inference_mode():
        torch.save(network.eval()(torch.load(folder + "/image.pt", weights_only=True)), folder + "/answer.pt")
"""


def member_of(name):
    """The one network, or the first of several, of an installed pipeline, trained."""
    bundle = load_bundle(load_pipeline(name).bundle)
    network = bundle.member()
    load_weights(network, bundle.weights, lambda state: first_member(state, set(network.state_dict())))
    return network.eval()


def runs_of(name, folder, count):
    """Runs as `medimg train` leaves them: a pipeline's own network, and others with its kernels shaken."""
    pipeline, network = load_pipeline(name), member_of(name)
    made = []
    for number in range(count):
        run = folder / f"run-{number}"
        shutil.copytree(pipeline.folder, run, ignore=shutil.ignore_patterns("*.pt"))
        config = run / "bundle" / "configs" / "inference.json"
        config.write_text(json.dumps(as_single(json.loads(config.read_text(encoding="utf-8")))))
        torch.manual_seed(number)
        state = {
            key: value * (1 + 0.02 * number * torch.randn_like(value)) if value.ndim > 1 else value
            for key, value in network.state_dict().items()
        }
        (run / "bundle" / WEIGHTS).parent.mkdir(exist_ok=True)
        torch.save(state, run / "bundle" / WEIGHTS)
        trust.record(run / "bundle", "a toy")
        made.append(run)
    return made


def image_for(network, size=32):
    channels = next(network.parameters()).shape[1]
    return torch.randn(1, channels, size, size, size, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize(("name", "flipped"), [("lung_nodule", [[], [2], [3]]), ("brain_tumour", [[], [], []])])
def test_an_ensemble_is_the_mean_of_its_members_each_on_its_mirror_image(tmp_path, name, flipped):
    runs = runs_of(name, tmp_path, 3)
    document = yaml.safe_load((runs[0] / "pipeline.yaml").read_text(encoding="utf-8"))
    for stage in document["stages"]:
        if "flips" in (stage.get("infer") or {}):
            stage["infer"]["flips"] = True
    (runs[0] / "pipeline.yaml").write_text(yaml.safe_dump(document))
    bundle = load_bundle(pack_ensemble(runs, tmp_path / "out"))
    members = [load_bundle(run / "bundle").trained_network() for run in runs]
    image = image_for(members[0])
    with torch.inference_mode():
        answers = [m(image.flip(axes)).flip(axes) for m, axes in zip(members, flipped, strict=True)]
        packed = bundle.trained_network()(image)
    assert (bundle.members, load_bundle(runs[0] / "bundle").members) == (3, 1)
    # half precision of the kernels: a thousandth of what the members disagree in
    assert torch.allclose(packed, torch.stack(answers).mean(0), atol=0.02 * float(answers[0].std()))
    assert not torch.allclose(packed, answers[0], atol=0.05 * float(answers[0].std()))


def test_monai_alone_builds_the_ensembles_and_gives_the_same_answers(tmp_path):
    bundles, images = [], []
    for name in SHIPPED:
        bundles.append(load_bundle(pack_ensemble(runs_of(name, tmp_path / name, 2), tmp_path / name / "out")))
        images.append(image_for(bundles[-1].member()))
        torch.save(images[-1], bundles[-1].folder / "image.pt")
    command = [sys.executable, "-W", "ignore", "-c", WITHOUT_MEDIMG, *(str(bundle.folder) for bundle in bundles)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for bundle, image in zip(bundles, images, strict=True):
        with torch.inference_mode():
            ours = bundle.trained_network()(image)
        assert torch.allclose(torch.load(bundle.folder / "answer.pt", weights_only=True), ours, atol=1e-5)


@pytest.mark.parametrize("name", SHIPPED)
def test_four_networks_take_at_most_20_megabytes(tmp_path, name):
    bundle = pack_ensemble(runs_of(name, tmp_path, 4), tmp_path / "out")
    assert sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file()) <= 20e6


def test_members_share_the_mirrors_out_and_the_pipeline_no_longer_averages(tmp_path):
    runs = [toy.detector(tmp_path / name, flips=True) for name in ("a", "b", "c", "d", "e")]
    bundle = pack_ensemble(runs, tmp_path / "out")
    document = json.loads((bundle / "configs" / "inference.json").read_text(encoding="utf-8"))
    assert document["member_axes"] == [[], [2], [3], [4], []]
    assert load_pipeline(str(tmp_path / "out")).options("infer")["flips"] is False
    record = json.loads((bundle / "docs" / "training.json").read_text(encoding="utf-8"))
    assert [member["run"] for member in record["members"]] == ["a", "b", "c", "d", "e"]
    assert len({member["weights_sha256"] for member in record["members"]}) == 1


def test_statistics_and_biases_stay_as_they_are_and_so_does_what_half_precision_cannot_hold():
    state = {
        "kernel": torch.tensor([[1.0001, 2.0]]),
        "huge": torch.tensor([[1e6]]),
        "bias": torch.tensor([1.0001]),
        "count": torch.tensor(70000),
    }
    kept = halved(state)
    assert {name: value.dtype for name, value in kept.items()} == {
        "kernel": torch.float16,
        "huge": torch.float32,
        "bias": torch.float32,
        "count": torch.int64,
    }
    assert kept["kernel"].float().tolist() == [[1.0, 2.0]]


def test_a_configuration_made_an_ensemble_and_back_is_the_same():
    single = {"imports": ["$import os"], "network_def": {"_target_": "torch.nn.Identity"}, "inferer": {}}
    there = as_ensemble(single, [[], [2]])
    assert as_single(there) == {**single, "imports": ["$import os", "$import torch", "$import copy"]}
    assert as_single(single) == single


def test_training_on_from_an_ensemble_trains_one_network_beginning_with_the_first(tmp_path):
    runs = [toy.detector(tmp_path / name) for name in ("a", "b")]
    other = {key: value + 1 for key, value in torch.load(runs[1] / "bundle" / WEIGHTS, weights_only=True).items()}
    torch.save(other, runs[1] / "bundle" / WEIGHTS)
    bundle = pack_ensemble(runs, tmp_path / "out")
    (tmp_path / "train.yaml").write_text("task: {_target_: toy.BrightnessTask}\nsteps: 1\n")
    network = fresh_network(read_config(tmp_path / "train.yaml"), bundle, bundle / WEIGHTS)
    first = torch.load(runs[0] / "bundle" / WEIGHTS, weights_only=True)
    assert all(torch.allclose(value, first[key], rtol=1e-3) for key, value in network.state_dict().items())


def test_joined_state_dicts_come_apart_again_even_where_names_are_numbers():
    member = {"0.weight": torch.ones(1), "1.weight": torch.zeros(1)}
    assert first_member(joined([member, member]), set(member)) == member
    assert first_member(member, set(member)) is member


def test_runs_that_do_not_belong_together_are_refused(tmp_path):
    first, second = (toy.detector(tmp_path / name) for name in ("a", "b"))
    config = second / "bundle" / "configs" / "inference.json"
    document = json.loads(config.read_text(encoding="utf-8"))
    # a configuration that no other test trusts
    other = {**document["network_def"], "bias": True, "padding_mode": "replicate"}
    config.write_text(json.dumps({**document, "network_def": other}))
    with pytest.raises(PipelineError, match=r"b has another network or preprocessing than .*a"):
        pack_ensemble([first, second], tmp_path / "out", trusted=True)
    assert not (tmp_path / "out").exists()
    with pytest.raises(UntrustedBundleError):
        pack_ensemble([first, second], tmp_path / "out")


def test_weights_that_do_not_fit_are_told_before_anything_is_written(tmp_path):
    first, second = (toy.detector(tmp_path / name) for name in ("a", "b"))
    torch.save({"weight": torch.zeros(3)}, second / "bundle" / WEIGHTS)
    with pytest.raises(PipelineError, match="does not hold the weights"):
        pack_ensemble([first, second], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_ensemble_of_one_of_twins_or_into_a_run_means_nothing(tmp_path):
    first, second = (toy.detector(tmp_path / name) for name in ("a", "b"))
    for runs, output, message in [
        ([first], tmp_path / "out", "two runs or more"),
        ([first, second, first], tmp_path / "out", "given twice"),
        ([first, second], first, "is one of the runs"),
        ([first, load_pipeline("lung_nodule_classical").folder], tmp_path / "out", "has no network"),
    ]:
        with pytest.raises(UsageError, match=message):
            pack_ensemble(runs, output)


def test_an_ensemble_of_ensembles_is_refused(tmp_path):
    runs = [toy.detector(tmp_path / name) for name in ("a", "b")]
    pack_ensemble(runs, tmp_path / "out")
    with pytest.raises(PipelineError, match="is an ensemble already"):
        pack_ensemble([tmp_path / "out", runs[0]], tmp_path / "more")
