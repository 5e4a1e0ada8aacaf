# Each target makes the environment it needs. VENV and PYTHON may be set on the command line.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test test-levels test-all lint clean

demo: $(VENV)/.demo  ## our indexes beside those of FAISS on the sample: a table and demo/sample.png
	$(BIN)/vqindex demo

test: $(VENV)/.test  ## the whole suite but its slow tier
	$(BIN)/python -m pytest

# Kernels and layouts again with fewer vector instructions; LLVM is held back by NUMBA_CPU_NAME.
test-levels: $(VENV)/.test
	@for pair in generic:x86-64 avx2:haswell; do \
		export VQINDEX_CPU_LEVEL=$${pair%:*} NUMBA_CPU_NAME=$${pair#*:}; \
		if [ "$$(uname -m)" != x86_64 ] || ! $(BIN)/python -c 'import vqindex' 2>/dev/null; then \
			echo "skipped: this CPU lacks the level $$VQINDEX_CPU_LEVEL"; \
		else \
			echo "CPU level $$VQINDEX_CPU_LEVEL:"; \
			$(BIN)/python -m pytest tests/kernels tests/layouts || exit 1; \
		fi; \
	done

test-all: test-levels  ## every test, slow ones too, and every CPU level
	$(BIN)/python -m pytest -m "slow or not slow"

lint: $(VENV)/.lint  ## style, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

clean:
	rm -rf .venv build dist demo .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.%: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable . --group $*
	touch $@
