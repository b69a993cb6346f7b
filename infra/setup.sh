#!/bin/sh
# The virtual environment: finds a Python 3.11 to 3.14, makes VENV with it and installs the pinned requirements by uv.
# Usage: sh infra/setup.sh VENV [PYTHON], in the folder of the project.
#
# Without PYTHON an environment that is there keeps its Python; otherwise the newest suitable one is taken: of the path,
# of pyenv, or one that uv finds or brings. Without uv on the path, pip puts it into the environment first.
set -eu
venv=$1
python=${2:-}
bin=$venv/bin
# uv trusts the certificates of the system, as those of a company's proxy. Older versions know the second name only.
export UV_SYSTEM_CERTS=true UV_NATIVE_TLS=true

say() { echo "$*" >&2; }
fail() { say "error: $*"; exit 1; }
suits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; }
version() { "$1" -c 'import sys; print(*sys.version_info[:2])' 2>/dev/null; }
makes_environments() { [ -n "$uv" ] || "$1" -c 'import ensurepip, venv' 2>/dev/null; }

# Prints the newest suitable Python that can make an environment.
find_python() {
  for minor in 14 13 12 11; do
    for candidate in "python3.$minor" "${PYENV_ROOT:-${HOME:-}/.pyenv}/versions/3.$minor."*/bin/python; do
      if suits "$candidate" && makes_environments "$candidate"; then echo "$candidate"; return; fi
    done
  done
  for candidate in python3 python; do
    if suits "$candidate" && makes_environments "$candidate"; then echo "$candidate"; return; fi
  done
  [ -z "$uv" ] || echo '>=3.11,<3.15'
}

# Says why there is no environment, and what to do.
fail_without_python() {
  for candidate in python3.14 python3.13 python3.12 python3.11 python3; do
    if suits "$candidate"; then
      fail "$candidate lacks the module venv: install it (Debian, Ubuntu: $(basename "$candidate")-venv), or install uv"
    fi
  done
  fail 'no Python 3.11 to 3.14 was found: install one, name one with make PYTHON=/path/to/python3, or install uv' \
    '(https://docs.astral.sh/uv), which then brings one by itself'
}

uv=$(command -v uv || true)
if [ -n "$python" ] && ! suits "$python"; then fail "PYTHON=$python is not a Python 3.11 to 3.14"; fi
if [ -e "$venv/incomplete" ] || ! suits "$bin/python" ||
  { [ -n "$python" ] && [ "$(version "$python")" != "$(version "$bin/python")" ]; }; then
  python=${python:-$(find_python)}
  [ -n "$python" ] && makes_environments "$python" || fail_without_python
  rm -rf "$venv"
  mkdir -p "$venv"
  if [ -n "$uv" ]; then
    "$uv" venv --quiet --allow-existing --python "$python" "$venv"
  else
    "$python" -m venv "$venv"
  fi
fi
touch "$venv/incomplete" # until the end: what is cut off is begun anew

say "Installing the requirements into $venv with Python $("$bin/python" -c 'import platform; print(platform.python_version())') ..."
requirements='-r requirements.txt -r tests/requirements.txt -c constraints.txt'
if [ -n "$uv" ]; then
  # shellcheck disable=SC2086 # several words
  "$uv" pip install --python "$bin/python" $requirements
else
  pip="$bin/python -m pip install --disable-pip-version-check"
  $pip --quiet --constraint constraints.txt uv
  # shellcheck disable=SC2086
  "$bin/uv" pip install --python "$bin/python" $requirements || {
    say 'uv could not install them: pip tries, with its own settings (this takes some minutes) ...'
    $pip $requirements
  }
fi
rm "$venv/incomplete"
touch "$venv/set-up"
