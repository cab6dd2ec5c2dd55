# Everything runs in .venv, which .ci/setup makes. Settings of another Spark or Python in the
# caller's shell would shadow it, so they are taken out.
unexport SPARK_HOME SPARK_CONF_DIR PYSPARK_PYTHON PYSPARK_DRIVER_PYTHON
export SPARK_LOCAL_IP := 127.0.0.1
export SPARK_LOCAL_HOSTNAME := localhost
in_venv = . .venv/bin/activate &&
pytest = $(in_venv) python -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup demo environment test test-slow breaks check format docs bench bench-peers clean

help: ## List the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: ## Make .venv: pinned packages and a Horovod built against its torch (minutes, once)
	@.ci/setup

demo: setup ## Generate events, then run the whole nightly job on two local executors
	$(in_venv) spark-submit --properties-file conf/spark/small.conf jobs/generate_events.py --config conf/demo.yaml
	$(in_venv) spark-submit --properties-file conf/spark/small.conf jobs/nightly.py --config conf/demo.yaml

environment: setup ## Pack what a cluster's executors need into build/: .venv, and this package
	$(in_venv) python .ci/pack.py

test: setup ## Run the fast tests; ARGS goes to pytest, as in make test ARGS="-k split -x"
	$(pytest) -m "not slow" $(ARGS)

test-slow: setup .venv-s3/bin/moto_server ## Run the tests that need processes of their own; ARGS as above
	$(pytest) -m slow $(ARGS)

.venv-s3/bin/moto_server: tests/storage/s3_server.txt | setup
	.venv/bin/python -m venv --clear .venv-s3
	.venv-s3/bin/python -m pip install --quiet --requirement $<

breaks: setup ## Break the code one line at a time: do the tests notice? ARGS="--only TEXT --jobs 2"
	$(in_venv) python -m tests.breaks $(ARGS)

check: setup ## Lint, formatting, types and the layers of the package
	$(in_venv) ruff check .
	$(in_venv) ruff format --check .
	$(in_venv) mypy
	$(in_venv) lint-imports --no-logo

format: setup ## Mend what ruff can mend
	$(in_venv) ruff check --fix-only .
	$(in_venv) ruff format .

docs: setup ## Write what is generated: comments of conf/base.yaml, docs/configuration.md, docs/tables.md
	$(in_venv) python -m docs.generate

bench-peers: ## Make .venv-peers, with what the benchmarks compare with
	python3 -m venv .venv-peers
	.venv-peers/bin/pip install --quiet --requirement tests/benchmarks/peers.txt

bench: setup ## Measure speed side by side with others (after bench-peers)
	$(in_venv) python -m tests.benchmarks.training_speed
	$(in_venv) python -m tests.benchmarks.worker_scaling
	$(in_venv) python -m tests.benchmarks.table_sizes
	$(in_venv) python -m tests.benchmarks.scoring_speed
	$(in_venv) python -m tests.benchmarks.million_users
	$(in_venv) python -m tests.benchmarks.loading_speed
	$(in_venv) python -m tests.benchmarks.preparation
	$(in_venv) python -m tests.benchmarks.night_speed

clean: ## Remove .venv and everything built but the Horovod wheels, which stay in .wheels
	rm -rf .venv .venv-peers .venv-s3 build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
