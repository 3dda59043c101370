# make demo: from a fresh clone to findings.  make test: every test.  Both work from scratch and again.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SAMPLES := sample_data/generated
OUT := demo_output
PEERS := .venv-readers
# test files at a time: auto is one a core, 0 runs them in one process (for a debugger)
WORKERS ?= auto

.PHONY: help setup viewer tools demo test browser-test pacs-test cluster-test fuzz compare-readers lint types docs docs-check wheel-test check clean

help: ## what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

setup: $(READY) ## make .venv with everything pinned in constraints.txt

$(READY): setup.cfg constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "medimg needs Python 3.10 or newer; name one: make setup PYTHON=python3.12" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

viewer: $(READY) ## fetch NiiVue, the viewer in report.html, if make setup could not
	$(BIN)/python medimg/report/viewer/fetch.py

tools: ## Debian's programs that some tests check against (dicom3tools, dcmtk, chromium); without them those tests skip
	@{ command -v dciodvfy && command -v dcmcjpeg && command -v chromium; } >/dev/null \
		|| { apt-get update -qq && apt-get install -y -qq dicom3tools dcmtk chromium; } \
		|| echo "dicom3tools, dcmtk, chromium could not be installed (root is needed): the tests that use them will skip" >&2

demo: $(READY) ## sample scans in, findings out
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash .ci/demo $(SAMPLES) $(OUT)

test: $(READY) ## every test
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

pacs-test: $(READY) ## a real Orthanc and dcmtk beside medimg, in a network of their own (installs them where it can)
	@{ command -v Orthanc && command -v storescu; } >/dev/null \
		|| { apt-get update -qq && apt-get install -y -qq orthanc orthanc-dicomweb dcmtk; } \
		|| echo "orthanc, orthanc-dicomweb and dcmtk could not be installed (root is needed)" >&2
	unshare --net --map-root-user bash -c 'ip link set lo up && exec $(BIN)/python -m pytest -m pacs tests/pacs'

cluster-test: $(READY) ## a batch on a real Ray cluster of several nodes, in a network of its own (installs Ray where it can)
	@$(BIN)/python -c 'import ray' 2>/dev/null \
		|| $(BIN)/python -m pip install --quiet -c constraints.txt -e '.[cluster]' \
		|| echo "Ray could not be installed: pip install 'medimg[cluster]'" >&2
	unshare --net --map-root-user bash -c 'ip link set lo up && exec $(BIN)/python -m pytest -m cluster tests/cluster'

browser-test: $(READY) ## report.html in a real Chromium; pictures of it go to screenshots/
	$(BIN)/python -m pytest tests/browser -m browser

fuzz: $(READY) ## 12,000 damaged scans through every reader (FUZZ="--count 500 --seed 7" for another run)
	$(BIN)/python tests/fuzz/run.py $(or $(FUZZ),--count 12000 --seed 1)

compare-readers: $(PEERS)/.ready ## the conformance cases through other DICOM readers too; writes docs/readers.md
	$(BIN)/python benchmarks/compare_readers.py --peers $(PEERS)/bin/python --page docs/readers.md

# an environment of their own, for what .venv does not have; the rest is borrowed from .venv
$(PEERS)/.ready: $(READY) benchmarks/peers.txt
	$(BIN)/python -m venv --clear $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --no-deps -r benchmarks/peers.txt
	$(BIN)/python -c 'import sys; print(*(path for path in sys.path if "site-packages" in path), sep="\n")' > $$($(BIN)/python \
		-c 'import sysconfig; print(sysconfig.get_path("purelib", "venv", {"base": "$(PEERS)"}))')/borrowed.pth
	@touch $@

lint: $(READY) ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## mypy --strict on medimg/
	$(BIN)/mypy

docs: $(READY) ## write docs/commands/ anew from the commands themselves
	$(BIN)/python docs/generate.py

docs-check: $(READY) ## fail when docs/commands/ is not up to date
	$(BIN)/python docs/generate.py --check

wheel-test: $(READY) ## the wheel in a clean environment, outside the checkout, on a sample scan
	bash .ci/wheel-test $(BIN)/python $(SAMPLES)

check: ## what CI runs
	bash .ci/run

clean: ## remove what was generated; .venv too
	rm -rf $(VENV) $(PEERS) $(OUT) $(SAMPLES) screenshots build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
