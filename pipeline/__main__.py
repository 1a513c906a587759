"""``python -m pipeline`` is the ``callsheet`` command."""

import sys

from pipeline.cli import main

sys.exit(main())
