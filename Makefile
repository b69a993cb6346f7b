# Each target sets up what it needs: `make train`, `make test` and `make check` work from a fresh clone.

# PYTHON: the interpreter to use, by default the newest of 3.11 to 3.14 that is found. VENV: the virtual environment.
PYTHON ?=
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/set-up
REQUIREMENTS := requirements.txt tests/requirements.txt tests/requirements-peer.txt

# The options of `make train`: those of `python -m flows train --help`, in capitals.
OPTIONS := SOURCE MAP FORMAT KEY_RULES DROP_PARAMETERS KEEP_PARAMETERS TABLE KEY_SAMPLE \
  MAX_INVALID_SHARE MAX_QUERIES SINCE UNTIL AFTER ALGORITHM DECISION EVICTION TTL_LADDER_S \
  STALENESS_WEIGHT STALENESS_BUDGET CACHE_SIZE CACHE_BYTES CACHE_FRACTION TIMESTEPS \
  TEST_FRACTION FEATURE_COLUMNS CACHE_WEIGHTS HISTORY_MULTIPLE CANDIDATES HORIZON VALIDATION_FRACTION HOLD_BACK PATIENCE \
  BATCH_SIZE LEARNING_RATE N_STEPS N_EPOCHS ENT_COEF CLIP_RANGE GRADIENT_STEPS BUFFER_SIZE EXPLORATION_FRACTION \
  EXPLORATION_FINAL_EPS SEED SEEDS DEVICE CHALLENGER
SETTINGS := ERS_HOME DB_URL MLFLOW_TRACKING_URI PREFECT_API_URL PYTHON VENV JSON

# Where a value is a list, spaces may stand for commas.
LISTS := KEY_RULES DROP_PARAMETERS KEEP_PARAMETERS CACHE_WEIGHTS FEATURE_COLUMNS TTL_LADDER_S
comma := ,
space := $(subst ,, )
listed = $(if $(filter $1,$(LISTS)),$(subst $(space),$(comma),$(value $1)),$(value $1))
quoted = '$(subst ','\'',$(call listed,$1))'
flag = --$(shell echo $1 | tr 'A-Z_' 'a-z-')
option = $(if $(value $1),$(call flag,$1)=$(call quoted,$1))
given = $(foreach v,$(.VARIABLES),$(if $(filter command line,$(origin $v)),$v))
unknown = $(filter-out $(OPTIONS) $(SETTINGS),$(given))

.PHONY: help setup train up down status test test-fast check bench clean constraints
.DEFAULT_GOAL := help

help:
	@echo 'make train [ALGORITHM=ppo SOURCE=access.log CACHE_FRACTION=0.01 ...]   learn, judge, export and register a policy'
	@echo 'make up      Prefect server and UI, MLflow server, a worker, the deployments of prefect.yaml (FOREGROUND=1: stay)'
	@echo 'make down    end what make up started         make status   what of it runs'
	@echo 'make test    run all tests          make test-fast   those of them that are quick'
	@echo 'make check   format, lint, types, import contracts'
	@echo 'make bench   all benchmarks, into benchmarks/RESULTS.md; needs the shared traces (ERS_TRACES_DIR)'
	@echo 'make clean   remove compiled kernels and caches of tools'
	@echo 'make setup   only install           make constraints   pin the newest versions of what the requirements need'

setup: $(STAMP)

train: $(STAMP)
	$(if $(unknown),$(error unknown option $(unknown); known: $(OPTIONS) $(SETTINGS)))
	@$(BIN)/python -m flows train $(foreach v,$(OPTIONS),$(call option,$v)) $(if $(JSON),--json)

up: $(STAMP)
	@$(BIN)/python -m infra.stack up $(if $(FOREGROUND),--foreground)

down status: $(STAMP)
	@$(BIN)/python -m infra.stack $@

test: $(STAMP)
	@$(BIN)/python -m pytest -n 2 --dist worksteal

test-fast: $(STAMP)
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m 'not slow'

check: $(STAMP)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(STAMP)
	@$(BIN)/python -m benchmarks

clean:
	@find . -path ./$(VENV) -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(STAMP): $(REQUIREMENTS) constraints.txt
	@sh infra/setup.sh '$(VENV)' '$(PYTHON)'

# Another Python than that of the environment begins a new environment.
version = $(shell { $1 -c 'import sys; print(*sys.version_info[:2])'; } 2>/dev/null)
ifneq ($(PYTHON),)
ifneq ($(call version,$(PYTHON)),$(call version,$(BIN)/python))
.PHONY: $(STAMP)
endif
endif

# One file for all versions of Python and all platforms: markers say where a package is needed.
constraints: $(STAMP)
	@grep '^#' constraints.txt > constraints.new
	@$(BIN)/uv pip compile --quiet --system-certs --upgrade --universal --python-version 3.11 \
	  --no-header --no-annotate $(REQUIREMENTS) >> constraints.new
	@mv constraints.new constraints.txt
