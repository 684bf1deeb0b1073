# make run    networks on this machine: a virtual environment, quantumd in the foreground (as root)
# make demo   the five use cases in scratch namespaces, with real pings; PLUGIN=... for another plugin
# make test   every test (as root: they make network namespaces); TESTS=tests/store for some of them
# make simulate SEEDS=20000 FIRST=0   the whole daemon on a simulated host and disk; a night's work
# make soak OPERATIONS=100000 KILLS=500 PAIRS=2000   churn, kill -9, pairs of crash points; an hour
# make bench  how fast it is, against limits of the same run; bench-check fails where a goal is missed
# make lint   ruff, formatting, types

PYTHON ?= python3
VENV ?= .venv
PLUGIN ?= linuxbridge
TESTS ?=
SEEDS ?= 20000
FIRST ?= 2000
KILLS ?= 500
PAIRS ?= 2000
OPERATIONS ?= 100000
BIN = $(VENV)/bin
SOURCES = setup.py pyproject.toml quantumd.conf.example \
	$(shell find quantumd twisted data -name '*.py' -o -path 'data/*' -type f)

.PHONY: run demo test simulate soak bench bench-check lint python root tools clean

run: $(VENV)/installed
	@mkdir -p var
	@echo 'quantumd listens on unix:var/api.sock and http://127.0.0.1:9696. In another terminal, as the same user, type:'
	@echo
	@echo '  cd $(CURDIR)'
	@echo '  export QUANTUMD_ENDPOINT=unix:var/api.sock'
	@echo '  $(BIN)/quantumctl status'
	@echo '  $(BIN)/quantumctl network create blue --wait'
	@echo '  $(BIN)/quantumctl attachment plug blue vm1-eth0 --tap --wait'
	@echo '  $(BIN)/quantumctl attachment list blue'
	@echo
	@echo 'Control-C stops it; what is plugged stays plugged. The state is in var/.'
	@echo
	@exec $(BIN)/twistd --nodaemon --pidfile= quantumd --plugin $(PLUGIN) --state var/quantumd.sqlite \
		--listen unix:var/api.sock:mode=660 --listen tcp:9696:interface=127.0.0.1

demo: $(VENV)/installed
	@$(BIN)/python -m quantumd.testing.demo --plugin $(PLUGIN)

test: root tools $(VENV)/installed-test
	$(BIN)/python -m pytest $(TESTS)

simulate: $(VENV)/installed-test
	QUANTUMD_SEEDS=$(SEEDS) QUANTUMD_FIRST_SEED=$(FIRST) $(BIN)/python -m pytest tests/simulation

soak: root tools $(VENV)/installed-test
	QUANTUMD_KILLS=$(KILLS) QUANTUMD_CRASH_PAIRS=$(PAIRS) QUANTUMD_SOAK=$(OPERATIONS) $(BIN)/python -m pytest \
		tests/crash tests/functional/test_kills.py tests/functional/test_ovs_steps.py

bench: root tools $(VENV)/installed
	$(BIN)/python benchmarks/run.py

bench-check: root tools $(VENV)/installed
	$(BIN)/python benchmarks/run.py --check

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf build quantumd.egg-info var

# A wheel, and not an editable install: that one would hide the twistd plugins outside of this directory.
$(VENV)/installed: $(SOURCES) | python
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	rm -rf build # what was built before may hold modules that are gone
	$(BIN)/python -m pip install --quiet --disable-pip-version-check .
	touch $@

$(VENV)/installed-test: setup.py $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check '.[test]'
	touch $@

$(VENV)/installed-dev: setup.py $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check '.[dev]'
	touch $@

python:
	@command -v $(PYTHON) >/dev/null || \
		{ echo '$(PYTHON) is missing; install it: apt install python3' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'quantumd needs Python 3.11 or newer; name one: make PYTHON=python3.12 ...' >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo 'the venv module of $(PYTHON) is missing; install it: apt install python3-venv' >&2; exit 1; }

root:
	@test "$$(id -u)" = 0 || { echo 'this makes network namespaces: run it as root (sudo make $(firstword $(MAKECMDGOALS)))' >&2; exit 1; }

tools:
	@missing=; \
	for pair in ip:iproute2 ping:iputils-ping unshare:util-linux nsenter:util-linux mount:mount bash:bash setpriv:util-linux \
		ovs-vswitchd:openvswitch-switch ovsdb-server:openvswitch-switch systemd-analyze:systemd; do \
		command -v $${pair%%:*} >/dev/null || missing="$$missing $${pair#*:}"; \
	done; \
	test -z "$$missing" || { echo "tools are missing; install them: apt install$$missing" >&2; exit 1; }
