"""Bundles that want to do harm: every one is tried for real, and must leave no mark. With --trust the mark is made."""

from __future__ import annotations

import json
import py_compile
import shutil
import sys
import zipfile

import numpy as np
import pytest
import toy
import zoo
from click.testing import CliRunner

from medimg import volumes
from medimg.bundle import load_bundle
from medimg.bundles.store import import_bundle, verify
from medimg.bundles.trust import audit, record, why_trusted
from medimg.cli import cli
from medimg.errors import PipelineError, UntrustedBundleError

NETWORK = {"_target_": "torch.nn.Conv3d", "in_channels": 1, "out_channels": 3, "kernel_size": 1}


@pytest.fixture
def mark(tmp_path):
    """A file that only executed code makes."""
    return tmp_path / "was_executed"


@pytest.fixture
def scan(tmp_path):
    path = tmp_path / "scan.nii.gz"
    array = np.random.default_rng(0).integers(-1000, 300, (12, 12, 12)).astype(np.int16)
    volumes.write_nifti(path, array, np.diag([-2.0, -2.0, 2.0, 1.0]))
    return path


def hostile(tmp_path, changes, scripts=None):
    """A small CT bundle with `changes` in its configuration and files of its own; the pipeline.yaml lies beside it."""
    config = {**zoo.organs_config((16, 16, 16), classes=3), "network_def": NETWORK, **changes}
    folder = zoo.write(tmp_path / "evil", config, zoo.organs_metadata(3), None)
    shutil.copy(weights(tmp_path), folder / "models" / "model.pt")
    for name, text in (scripts or {}).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def weights(tmp_path):
    import torch

    path = tmp_path / "conv.pt"
    torch.save(torch.nn.Conv3d(1, 3, 1).state_dict(), path)
    return path


def run(*arguments):
    return CliRunner().invoke(cli, [str(part) for part in arguments], prog_name="medimg")


def command(mark):
    return f"__import__('os').system('touch {mark}')"


def attacks(mark):
    """Changes to a configuration that execute something when MONAI parses it."""
    return {
        "an expression in the network": {"network_def": f"${command(mark)}"},
        "an expression that a transform refers to": {
            "spy": f"${command(mark)}",
            "preprocessing": zoo.compose(zoo.component("EnsureTyped", keys="image", dtype="@spy")),
        },
        "os.system as a component": {"network_def": zoo.component("os.system", command=f"touch {mark}")},
        "a program as a component": {"network_def": zoo.component("subprocess.call", args=["touch", str(mark)])},
        "an expression in the inferer": {
            "inferer": zoo.component("SlidingWindowInferer", roi_size=f"${command(mark)} or [16, 16, 16]")
        },
        "a required expression": {"network_def": {**NETWORK, "_requires_": f"${command(mark)}"}},
        "an expression that switches a component off": {"network_def": {**NETWORK, "_disabled_": f"${command(mark)}"}},
    }


NAMES = list(attacks("x"))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_an_unknown_bundle_is_executed(tmp_path, mark, scan, name):
    folder = hostile(tmp_path, attacks(mark)[name])
    result = run("infer", "--bundle", folder, "--volume", scan, "-o", tmp_path / "out")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert "a bundle is code: it would execute" in line
    assert "--trust" in line
    with pytest.raises(UntrustedBundleError):
        load_bundle(folder)
    for arguments in (("info", folder), ("verify", folder), ("import", folder, "--name", "evil"), ("list",)):
        assert run("bundle", *arguments).exception is None or run("bundle", *arguments).exit_code in (0, 1)
    assert run("bundle", "export", "--bundle", folder, "-o", tmp_path / "exported").exit_code == 1
    assert not mark.exists()
    assert not (tmp_path / "out" / "report.json").exists()


@pytest.mark.parametrize("name", NAMES)
def test_the_same_attack_works_where_the_user_trusts_it(tmp_path, mark, scan, name):
    """What the tests above hold back is real."""
    folder = hostile(tmp_path, attacks(mark)[name])
    run("infer", "--bundle", folder, "--volume", scan, "-o", tmp_path / "out", "--trust")
    assert mark.exists()


def test_what_medimg_does_not_need_is_not_executed_even_when_trusted(tmp_path, mark, scan):
    changes = {key: f"${command(mark)}" for key in ("run", "initialize", "handlers", "dataset", "evaluator", "spare")}
    folder = hostile(tmp_path, changes)
    result = run("infer", "--bundle", folder, "--volume", scan, "-o", tmp_path / "out", "--trust")
    assert result.exit_code == 0, result.stderr
    assert not mark.exists()


@pytest.mark.parametrize("arguments", [["infer", "--pipeline"], ["run"], ["train", "--pipeline"]])
def test_a_pipeline_with_an_unknown_bundle_is_refused_as_well(tmp_path, mark, scan, arguments):
    folder = toy.detector(tmp_path / "toy")
    config = folder / "bundle" / "configs" / "inference.json"
    document = json.loads(config.read_text())
    config.write_text(json.dumps({**document, "network_def": f"${command(mark)}"}))
    (folder / "train.yaml").write_text("task: {_target_: toy.BrightnessTask}\nsteps: 1\n")
    scans = {"infer": ["--volume", scan], "run": [scan], "train": ["--data", tmp_path]}[arguments[0]]
    result = run(*arguments, folder, *scans, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert not mark.exists()
    if arguments[0] != "train":
        assert "--trust" in result.stderr


def test_the_message_and_info_say_what_would_be_executed(tmp_path, mark):
    scripts = {"scripts/__init__.py": "", "scripts/net.py": f"import os\nos.system('touch {mark}')\n"}
    folder = hostile(tmp_path, {"network_def": {"_target_": "scripts.net.build"}}, scripts)
    with pytest.raises(UntrustedBundleError, match=r"imports::0: \$import glob"):
        load_bundle(folder)
    told = run("bundle", "info", folder).stdout
    assert "component  network_def: scripts.net.build" in told
    assert "script  scripts/net.py" in told
    assert "expression  pixdim: $[1.5, 1.5, 1.5]" in told
    assert not mark.exists()


@pytest.mark.parametrize(
    ("module", "changes"),
    [
        ("scripts", {"network_def": {"_target_": "scripts.net.build"}}),
        ("evil", {"network_def": {"_target_": "evil.build"}}),
        ("evil", {"imports": ["$import evil"]}),
        ("evil", {"imports": ["$from evil import build"]}),
    ],
)
def test_scripts_of_a_bundle_are_imported_only_when_trusted(tmp_path, mark, module, changes):
    code = f"import os\nos.system('touch {mark}')\nimport torch\n\ndef build():\n    return torch.nn.Conv3d(1, 3, 1)\n"
    files = {"scripts/__init__.py": "", "scripts/net.py": code} if module == "scripts" else {"evil.py": code}
    folder = hostile(tmp_path, changes, files)
    with pytest.raises(UntrustedBundleError):
        load_bundle(folder)
    assert not mark.exists()
    before = list(sys.path)
    load_bundle(folder, trusted=True).network()
    assert mark.exists()
    assert sys.path == before
    assert module not in sys.modules or not str(getattr(sys.modules[module], "__file__", "")).startswith(str(folder))
    assert not list(folder.rglob("__pycache__"))


def test_trust_ends_when_a_script_changes(tmp_path, mark):
    files = {
        "scripts/__init__.py": "",
        "scripts/net.py": "import torch\n\ndef build():\n    return torch.nn.Identity()\n",
    }
    folder = hostile(tmp_path, {"network_def": {"_target_": "scripts.net.build"}}, files)
    assert record(folder, "a test")
    load_bundle(folder).network()
    (folder / "scripts" / "net.py").write_text(f"import os\nos.system('touch {mark}')\n")
    with pytest.raises(UntrustedBundleError):
        load_bundle(folder)
    assert not mark.exists()


def test_bytecode_beside_a_trusted_script_is_not_used(tmp_path, mark):
    """Python would take a cache in place of the script it was not made of, if its header says so."""
    files = {
        "scripts/__init__.py": "",
        "scripts/net.py": "import torch\n\ndef build():\n    return torch.nn.Identity()\n",
    }
    folder = hostile(tmp_path, {"network_def": {"_target_": "scripts.net.build"}}, files)
    record(folder, "a test")
    evil = tmp_path / "net.py"
    evil.write_text(f"import os\nos.system('touch {mark}')\nimport torch\nbuild = torch.nn.Identity\n")
    cache = folder / "scripts" / "__pycache__" / f"net.{sys.implementation.cache_tag}.pyc"
    py_compile.compile(str(evil), str(cache), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    load_bundle(folder).network()
    assert not mark.exists()


def test_a_pickle_in_the_weights_is_not_run_even_when_trusted(tmp_path, mark, scan):
    folder = hostile(tmp_path, {})
    (folder / "models" / "model.pt").write_bytes(f"cposix\nsystem\n(S'touch {mark}'\ntR.".encode())
    result = run("infer", "--bundle", folder, "--volume", scan, "-o", tmp_path / "out", "--trust")
    assert result.exit_code == 1
    assert "does not hold the weights" in result.stderr
    assert not mark.exists()


def test_yaml_tags_are_no_configuration(tmp_path, mark, scan):
    folder = hostile(tmp_path, {})
    (folder / "configs" / "inference.json").unlink()
    (folder / "configs" / "inference.yaml").write_text(
        f'network_def: !!python/object/apply:os.system ["touch {mark}"]\n'
    )
    result = run("infer", "--bundle", folder, "--volume", scan, "-o", tmp_path / "out", "--trust")
    assert result.exit_code == 1
    assert "cannot read the bundle file" in result.stderr
    assert not mark.exists()


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]\n",
        "\n".join(["a0: &a0 [1]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9))]),
    ],
    ids=["a list that holds itself", "a billion laughs"],
)
def test_a_configuration_without_end_is_refused(tmp_path, text):
    folder = hostile(tmp_path, {})
    (folder / "configs" / "inference.json").unlink()
    (folder / "configs" / "inference.yaml").write_text(text)
    with pytest.raises(PipelineError, match="more than"):
        audit(folder)


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped", "models/../../escaped", "C:\\escaped"])
def test_large_files_cannot_be_written_outside(tmp_path, name):
    folder = hostile(tmp_path, {})
    entry = {"path": name, "url": "https://example.org/x", "hash_val": "0" * 32, "hash_type": "md5"}
    (folder / "large_files.yml").write_text(json.dumps({"large_files": [entry]}))
    with pytest.raises(PipelineError, match="outside the bundle's folder"):
        import_bundle(folder)
    assert not all(check.sound for check in verify(folder))


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.org/x", ""])
def test_large_files_come_from_the_web_only(tmp_path, url):
    folder = hostile(tmp_path, {})
    entry = {"path": "models/model.pt", "url": url, "hash_val": "0" * 32, "hash_type": "md5"}
    (folder / "large_files.yml").write_text(json.dumps({"large_files": [entry]}))
    with pytest.raises(PipelineError, match="no web address"):
        import_bundle(folder)


@pytest.mark.parametrize("name", ["models/model.pt", "configs/inference.json", "configs/metadata.json", "docs"])
def test_links_out_of_the_folder_are_not_followed(tmp_path, scan, name):
    folder = hostile(tmp_path, {})
    secret = tmp_path / "secret"
    secret.mkdir()
    inside = folder / name
    if inside.is_file():
        shutil.move(inside, secret / inside.name)
        inside.symlink_to(secret / inside.name)
    else:
        inside.symlink_to(secret, target_is_directory=True)
    with pytest.raises(PipelineError, match="outside the bundle's folder"):
        import_bundle(folder)
    assert not all(check.sound for check in verify(folder))
    if name != "docs":
        result = run("infer", "--bundle", folder, "--volume", scan, "-o", tmp_path / "out", "--trust")
        assert result.exit_code == 1
        assert "outside the bundle's folder" in result.stderr


def test_a_macro_cannot_read_another_file(tmp_path):
    (tmp_path / "secret.json").write_text('{"key": "value"}')
    folder = hostile(tmp_path, {"network_def": f"%{tmp_path}/secret.json::key"})
    with pytest.raises(PipelineError, match="reads another file"):
        load_bundle(folder, trusted=True)


@pytest.mark.parametrize("member", ["../escaped.py", "/escaped.py", "evil\\..\\..\\escaped.py"])
def test_a_zip_cannot_write_outside(tmp_path, member):
    folder = hostile(tmp_path, {})
    archive = tmp_path / "evil.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for path in folder.rglob("*.json"):
            opened.write(path, f"evil/{path.relative_to(folder)}")
        opened.writestr(member, "mark")
    with pytest.raises(PipelineError, match="leads out of the archive"):
        import_bundle(archive)
    assert not list(tmp_path.parent.rglob("escaped.py"))


def test_a_link_in_a_zip_is_refused(tmp_path):
    archive = tmp_path / "evil.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        link = zipfile.ZipInfo("evil/models/model.pt")
        link.external_attr = 0o120777 << 16
        opened.writestr(link, "/etc/passwd")
    with pytest.raises(PipelineError, match="leads out of the archive"):
        import_bundle(archive)


def test_a_recipe_of_the_users_own_is_no_way_round_trust(tmp_path, mark, scan):
    folder = hostile(tmp_path, {})
    record(folder, "a test")
    recipe = tmp_path / "recipe.json"
    document = {
        "schema": "medimg.recipe/1",
        "name": "evil",
        "task": "segmentation",
        "inputs": [{"role": "ct", "modality": "CT"}],
        "config": {"network_def": f"${command(mark)}"},
    }
    recipe.write_text(json.dumps(document))
    result = run("infer", "--bundle", folder, "--recipe", recipe, "--volume", scan, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "--trust" in result.stderr
    assert not mark.exists()


def test_weights_do_not_change_what_is_trusted_but_one_character_of_code_does(tmp_path):
    folder = hostile(tmp_path, {})
    record(folder, "a test")
    (folder / "models" / "model.pt").write_bytes(b"other weights")
    assert why_trusted(audit(folder).digest) == "recorded on this machine: a test"
    config = folder / "configs" / "inference.json"
    config.write_text(config.read_text().replace("1.5, 1.5, 1.5", "1.5, 1.5, 1.6"))
    assert why_trusted(audit(folder).digest) is None
