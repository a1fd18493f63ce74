# make demo: the whole path on the mini world.   make from-scratch: a student of its own.   make docs: the website, into site/.
# make quick: a minute of tests.   make test: the tests.   make test-all: also those of rare faults.
# make wheel: dist/*.whl and *.tar.gz.   make test-package: the wheel in an environment of its own.
# Each sets everything up from nothing.
PYTHON ?= python3.11
BIN := .venv/bin
DEMO := data/miniworld
export MPLBACKEND := Agg
export TF_CPP_MIN_LOG_LEVEL := 3

.PHONY: venv demo from-scratch quick test test-slow test-all lint docs wheel test-package clean

venv: .venv/ready

.venv/ready: requirements.txt requirements-nodeps.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --no-deps -r requirements-nodeps.txt
	touch $@

# Keep freed memory, in huge pages: +27 % windows a second on a CPU. Compiled programs are kept for the next command.
HUGE_PAGES := glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=8589934592
demo: export GLIBC_TUNABLES := $(HUGE_PAGES)
demo: export JAX_COMPILATION_CACHE_DIR := .cache/jax
demo: export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS := 0
demo: venv
	$(BIN)/python -m data_prep.miniworld --out=$(DEMO) --scenes=64 --val_scenes=30
	$(BIN)/python -m data_prep.build --dataroot=$(DEMO) --version=v1.0-miniworld --drivelm=$(DEMO)/drivelm.json --out=$(DEMO)/records
	$(BIN)/python -m data_prep.validate --data=$(DEMO)/records
	mkdir -p runs/shipped && cp -r dima_jax/pretrained/miniworld/. runs/shipped
	@echo "The joint stage compiles and trains beside the evaluation that is printed next; its progress: runs/demo.log"
	$(BIN)/python -m dima_jax.train --config=configs/demo.py --workdir=runs/demo > runs/demo.log 2>&1 & joint=$$!; \
	trap "kill $$joint 2> /dev/null" EXIT INT TERM; \
	nice -n 5 $(BIN)/python -m dima_jax.evaluate --checkpoint=runs/shipped --blank_images --other_images \
		--audit --audit_scenes=10 --figures=4 --report=runs/shipped/report || exit; \
	echo "Waiting for the joint stage: runs/demo.log"; \
	wait $$joint || { cat runs/demo.log; exit 1; }
	$(BIN)/python -m dima_jax.export --checkpoint=runs/demo --out=runs/demo/student.onnx

# After `make demo`, on its records: a student from random weights, in about nine minutes.
from-scratch: export GLIBC_TUNABLES := $(HUGE_PAGES)
from-scratch: venv
	$(BIN)/python -m dima_jax.train --config=configs/demo_student.py --workdir=runs/demo_student
	$(BIN)/python -m dima_jax.evaluate --checkpoint=runs/demo_student --blank_images

# The working loop: about a minute.
quick: venv lint
	$(BIN)/python -m pytest -n 2 -m "not slow" tests/data tests/losses tests/metrics tests/test_cli.py tests/test_import_rules.py \
		tests/test_requirements.py tests/test_weights.py tests/test_optimizer.py tests/test_sharding.py tests/test_geometry.py

test: venv lint
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=10 -m "not slow"

# Whole processes that are stopped and started, a batch learned by heart, the installed wheel: after `make test`.
test-slow: venv
	$(BIN)/python -m pytest -n 2 --dist loadfile --durations=10 -m slow

test-all: test test-slow

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

docs: venv
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# setuptools would put what an earlier build left in build/ into the wheel.
wheel: venv
	rm -rf build dist *.egg-info
	$(BIN)/python -m build --no-isolation
	rm -rf build *.egg-info

test-package: venv
	$(BIN)/python -m pytest -s tests/test_package.py

clean:
	rm -rf .venv .cache data runs out build dist site *.egg-info .pytest_cache .ruff_cache
