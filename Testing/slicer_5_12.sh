#!/bin/sh
# Runs the scene tests against slicer-core 5.12, in an environment of its own: the workstation's holds an older slicer-core.
# Usage: sh Testing/slicer_5_12.sh [PYTHON]
set -eu
cd "$(dirname "$0")/.."
python="${1:-python3}"
venv=.venv-slicer512
if [ ! -f "$venv/.ready" ]; then
  "$python" -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "slicer-core>=5.12,<5.13" "vtk==9.6.0" \
    "numpy>=2.0" "SimpleITK>=2.5" "scipy>=1.13" "pydicom>=2.4.4" "scikit-image>=0.24" "opencv-python-headless>=4.10" "pytest>=8.2"
  touch "$venv/.ready"
fi
"$venv/bin/python" -c "import importlib.metadata as m; print('slicer-core', m.version('slicer-core'), 'vtk', m.version('vtk'))"
PYTHONPATH=MedSR exec "$venv/bin/python" -m pytest Testing/test_scene.py
