"""The documentation keeps up: with the commands, the reasons, the stages, and with its own links."""

from __future__ import annotations

import importlib.util
import re

import pytest
import yaml

from medimg.bundles.recipe import FIELDS, read_recipe
from medimg.cli.group import COMMANDS
from medimg.errors import ExitCode, Reason
from medimg.pipeline import STAGES, read_pipeline

PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/index.md", "docs/coordinates.md", "docs/output.md"]
PAGES += [
    "docs/inputs.md",
    "docs/pipelines.md",
    "docs/reasons.md",
    "docs/commands/README.md",
    "docs/evaluate.md",
    "docs/datalist.md",
    "docs/bundles.md",
    "docs/advice.md",
    "docs/compare.md",
    "docs/report.md",
    "docs/pacs.md",
]


@pytest.fixture(scope="module")
def generator(repository):
    spec = importlib.util.spec_from_file_location("docs_generate", repository / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_command_has_a_page_and_it_is_up_to_date(generator):
    assert generator.out_of_date(generator.pages()) == [], "run make docs"


def test_a_page_that_differs_or_belongs_to_no_command_is_found(generator, tmp_path):
    (tmp_path / "infer.md").write_text("old")
    (tmp_path / "gone.md").write_text("old")
    assert generator.out_of_date({"infer.md": "new", "run.md": "new"}, tmp_path) == ["gone.md", "infer.md", "run.md"]


def test_every_reason_is_explained_once(repository):
    page = (repository / "docs" / "reasons.md").read_text(encoding="utf-8")
    explained = re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE)
    assert sorted(explained) == sorted(str(reason) for reason in Reason)


def test_every_exit_code_is_explained(repository):
    page = (repository / "docs" / "output.md").read_text(encoding="utf-8")
    assert {int(code) for code in re.findall(r"^\| (\d) \|", page, flags=re.MULTILINE)} == {int(c) for c in ExitCode}


def test_the_example_of_a_users_own_pipeline_is_one(repository, tmp_path):
    page = (repository / "docs" / "pipelines.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    (tmp_path / "pipeline.yaml").write_text(example)
    pipeline = read_pipeline(tmp_path / "pipeline.yaml")
    assert pipeline.name == yaml.safe_load(example)["name"]
    assert all(f"| {stage}" in page for stage in STAGES)


def test_the_example_of_a_recipe_is_one_and_every_field_is_explained(repository, tmp_path):
    page = (repository / "docs" / "bundles.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    (tmp_path / "recipe.yaml").write_text(example)
    assert read_recipe(tmp_path / "recipe.yaml").name == "my_bundle"
    assert [name for name in FIELDS if f"`{name}`" not in page and name != "schema"] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(repository, page):
    path = repository / page
    targets = re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_commands_that_are_shown_exist(repository, page):
    text = (repository / page).read_text(encoding="utf-8")
    shown = re.findall(r"^(?:\$ )?medimg ([a-z]+)", text, flags=re.MULTILINE) + re.findall(r"`medimg ([a-z]+)", text)
    assert set(shown) <= set(COMMANDS)


def test_readme_says_what_it_is_not(repository):
    assert "not a medical device" in (repository / "README.md").read_text(encoding="utf-8").lower()
