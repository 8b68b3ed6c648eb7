#!/bin/sh
# Makes an environment for the tests that read exports with other programs.
# Usage, from the root of the repository: tests/readers/setup.sh ENVIRONMENT && ENVIRONMENT/bin/python -m pytest tests/readers
set -eu
here=$(dirname "$0")
"${PYTHON:-python3}" -m venv "$1"
install() { "$environment/bin/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt "$@"; }
environment=$1
install -r "$here/requirements.txt"
# Without what torchvision and BasicSR ask for: a torch with CUDA, of 5 GB. BasicSR's setup imports torch.
install --no-deps --target "$1/torchvision" torchvision==0.28.0
install --no-deps --no-build-isolation basicsr==1.4.2
