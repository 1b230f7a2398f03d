"""Opens every page and runs its self-test, in Slicer: `Slicer --testing … --python-script Testing/in_slicer.py`.

With --testing, Slicer leaves once the script is over, and its exit code is 0 only where no Python error came up: errors in a page's
setup, which Qt catches, are counted too. slicer.util.exit would put another code in its place, so it is not called here.
"""

import slicer
import slicer.util

MODULES = ("MedSR", "MedSRSliceInterp", "MedSRRegistration")


def main() -> None:
    """Stops with the first error."""
    for name in MODULES:
        slicer.util.selectModule(name)
        slicer.app.processEvents()
        slicer.selfTests[name]()
        print(f"{name}: passed")


main()
