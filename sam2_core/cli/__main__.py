"""``python -m sam2_core.cli`` is ``sam2``."""

import sys

from sam2_core.cli import main

sys.exit(main())
