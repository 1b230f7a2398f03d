"""`python -m MedSRLib` is the command `medsr`."""

import sys

from .cli import main

sys.exit(main())
