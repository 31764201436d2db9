#!/bin/sh
# Makes .venv from requirements.lock, and makes it again only when that file or pyproject.toml has changed.
# Needs a POSIX shell and nothing else: as root on Debian it even installs Python.
# `uv` is used when it is on the PATH (seconds instead of a minute); pip otherwise.
set -eu
cd "$(dirname "$0")/.."

stamp=.venv/.installed
wanted=$(cat requirements.lock pyproject.toml | cksum)
if [ -x .venv/bin/python ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
  exit 0
fi

# Two commands at once would write into each other's .venv.
mkdir -p var
exec 9>var/bootstrap.lock
if command -v flock >/dev/null 2>&1; then
  flock 9
  if [ -x .venv/bin/python ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    exit 0
  fi
fi

# To standard error, so that `make status FORMAT=json` prints JSON and nothing else.
say() { echo "$*" >&2; }
fail() { echo "$*" >&2; exit 1; }

can_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; }

# apt_install PACKAGE...: only as root on Debian and its kin; the index is fetched once, and only if needed.
apt_install() {
  say "installing $* (apt-get)"
  mkdir -p var/log
  export DEBIAN_FRONTEND=noninteractive
  if [ -z "${apt_updated:-}" ]; then
    apt-get update >>var/log/install.log 2>&1 || fail "apt-get update failed: see var/log/install.log"
    apt_updated=yes
  fi
  apt-get install -y --no-install-recommends "$@" >>var/log/install.log 2>&1 ||
    fail "apt-get install $* failed: see var/log/install.log"
}

# The system's own Python first: those that version managers build are often not optimised, a tenth slower.
# One that can make environments at once goes before one that needs another package for it.
find_python() {
  for modules in sys,ensurepip sys; do
    for name in ${OTA_PYTHON:-/usr/bin/python3 python3.11 python3 python3.12 python3.13}; do
      if "$name" -c "import $modules; sys.exit(sys.version_info < (3, 11))" >/dev/null 2>&1; then
        echo "$name"
        return 0
      fi
    done
  done
  return 1
}

python=$(find_python) || {
  can_install || fail "Python 3.11 or later is missing. Debian or Ubuntu:
  sudo apt-get update && sudo apt-get install --no-install-recommends python3 python3-venv
macOS:
  brew install python@3.11"
  apt_install python3 python3-venv
  python=$(find_python) || fail "This system's python3 is older than 3.11: install Python 3.11 and set OTA_PYTHON to it."
}

say "making .venv (once, and when requirements.lock changes)"
rm -f "$stamp"
if ! "$python" -m venv .venv >var/bootstrap.out 2>&1; then
  # Debian keeps the module that puts pip into a new environment in a package of its own.
  can_install || {
    cat var/bootstrap.out >&2
    fail "Python cannot make a virtual environment. Debian or Ubuntu:
  sudo apt-get update && sudo apt-get install --no-install-recommends python3-venv"
  }
  apt_install "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
  "$python" -m venv .venv
fi
rm -f var/bootstrap.out

with_uv() {
  command -v uv >/dev/null 2>&1 &&
    uv pip install -q --compile-bytecode --python .venv/bin/python --require-hashes -r requirements.lock &&
    uv pip install -q --python .venv/bin/python --no-deps --no-build-isolation -e .
}
with_pip() {
  .venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock &&
    .venv/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
}
# uv does not read pip's configuration: where the index is set there only, pip has to do it.
with_uv || with_pip || fail "The packages of requirements.lock could not be installed."
# Compiled once here, every start of a process is a second shorter, also where Python may not cache.
.venv/bin/python -m compileall -q libs services deploy

echo "$wanted" >"$stamp"
