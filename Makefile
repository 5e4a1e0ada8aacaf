# Each target makes the environment it needs. VENV, PYTHON and WORKERS, processes that share the
# tests, may be set on the command line.
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= auto
LEVELS ?= generic avx2 avx512 amx
BIN := $(VENV)/bin
# Each process has one thread of BLAS and a stretch of the tests, so that few kernels are compiled by
# several; who is done first takes from the others.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

.PHONY: demo test test-levels test-all lint clean

demo: $(VENV)/.demo  ## our indexes beside those of FAISS on the sample: tables, and pictures in demo/
	$(BIN)/vqindex demo

test: $(VENV)/.test  ## the whole suite but its slow tier
	$(PYTEST)

# Kernels and layouts at each level this CPU has, LLVM held back to it by the NUMBA variables. Where
# there is no AMX, `make test` carries it out in software.
test-levels: $(VENV)/.test
	@has=$$(env -u VQINDEX_CPU_LEVEL -u NUMBA_CPU_NAME -u NUMBA_CPU_FEATURES $(BIN)/python -c \
		'from vqindex.kernels.cpu.level import LEVELS, best_level as best; \
		print(*LEVELS[: LEVELS.index(best()) + 1])') || exit 1; \
	ran=; \
	for pair in generic:generic avx2:haswell avx512:icelake-server amx:sapphirerapids; do \
		level=$${pair%:*}; \
		case " $(LEVELS) " in *" $$level "*) ;; *) continue;; esac; \
		case " $$has " in *" $$level "*) ;; *) echo "no $$level on this CPU"; continue;; esac; \
		echo "CPU level $$level:"; \
		VQINDEX_CPU_LEVEL=$$level NUMBA_CPU_NAME=$${pair#*:} NUMBA_CPU_FEATURES= \
			$(PYTEST) tests/kernels tests/layouts --ignore tests/kernels/gpu || exit 1; \
		ran="$$ran $$level"; \
	done; \
	echo "CPU levels tested:$$ran; this CPU has: $$has"

test-all: test-levels  ## every test, slow ones too, and every CPU level
	$(PYTEST) -m "slow or not slow"

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
