#!/bin/sh
# The virtual environment: finds a Python 3.11 to 3.14, makes VENV with it and installs the pinned requirements by uv.
#
#   sh infra/setup.sh VENV [PYTHON]    in the folder of the project
#   sh infra/setup.sh --pythons        prints a suitable Python of each version that is found, the newest first
#
# Without PYTHON an environment that is there keeps its Python; otherwise the newest one is taken: of the path, of
# pyenv, or else what uv finds or brings. Without uv on the path, pip puts it into the environment first.
set -eu
# uv trusts the certificates of the system, such as those of a company's proxy. Older versions know the second name.
export UV_SYSTEM_CERTS=true UV_NATIVE_TLS=true
# Where Python may not keep bytecode, it is compiled here, or each process would compile all that it imports.
[ -z "${PYTHONDONTWRITEBYTECODE:-}" ] || export UV_COMPILE_BYTECODE=true
# Without a home that can be written there is no cache.
[ -z "${HOME:-}" ] || [ -w "$HOME" ] || export UV_NO_CACHE=true

say() { echo "$*" >&2; }
fail() { say "error: $*"; exit 1; }
suits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; }
version() { "$1" -c 'import sys; print(*sys.version_info[:2], sep=".")' 2>/dev/null; }
makes_environments() { [ -n "$uv" ] || "$1" -c 'import ensurepip, venv' 2>/dev/null; }

# Prints each Python that suits and passes the test $1, the newest first.
pythons() {
  for minor in 14 13 12 11; do
    for python in "python3.$minor" python3 python "${PYENV_ROOT:-${HOME:-}/.pyenv}/versions/3.$minor."*/bin/python; do
      if [ "$(version "$python")" = "3.$minor" ] && "$1" "$python"; then
        command -v "$python"
        break
      fi
    done
  done
}

# Ends with what keeps an environment from being made, and what to do.
fail_without_python() {
  found=$(pythons suits | head -n 1)
  [ -z "$found" ] || fail "$found lacks the modules venv and ensurepip:" \
    "install them (Debian, Ubuntu: python$(version "$found")-venv), or install uv"
  fail 'no Python 3.11 to 3.14 was found: install one, name one by make PYTHON=/path/to/python3,' \
    'or install uv (https://docs.astral.sh/uv), which then brings one'
}

uv=$(command -v uv || true)
if [ "$1" = --pythons ]; then
  pythons makes_environments
  exit
fi
venv=$1
bin=$venv/bin
python=${2:-}
[ -z "$python" ] || suits "$python" || fail "PYTHON=$python is not a Python 3.11 to 3.14"
if [ -e "$venv/incomplete" ] || ! suits "$bin/python" ||
  { [ -n "$python" ] && [ "$(version "$python")" != "$(version "$bin/python")" ]; }; then
  [ -n "$python" ] || python=$(pythons makes_environments | head -n 1)
  [ -n "$python$uv" ] && makes_environments "$python" || fail_without_python
  rm -rf "$venv"
  mkdir -p "$venv"
  touch "$venv/incomplete" # until the end: what is cut off is begun anew
  if [ -n "$uv" ]; then
    uv venv --quiet --allow-existing --python "${python:->=3.11,<3.15}" "$venv"
  else
    "$python" -m venv "$venv"
  fi
fi
touch "$venv/incomplete"

say "Installing the requirements into $venv, with Python $(version "$bin/python") ..."
uv_install() { "${uv:-$bin/uv}" pip install --python "$bin/python" -c constraints.txt "$@"; }
pip_install() { "$bin/python" -m pip install --disable-pip-version-check -c constraints.txt "$@"; }
install=uv_install
[ -n "$uv" ] || pip_install --quiet uv
uv_install -r requirements.txt -r tests/requirements.txt || {
  [ -z "$uv" ] || exit 1
  say 'uv could not install them: pip tries, with its own settings; that takes some minutes ...'
  install=pip_install
  pip_install -r requirements.txt -r tests/requirements.txt
}
$install --quiet --only-binary :all: -r tests/requirements-peer.txt 2>/dev/null ||
  say 'libCacheSim, which has wheels for few machines, could not be installed: the tests do without comparing with it'
rm "$venv/incomplete"
touch "$venv/set-up"
