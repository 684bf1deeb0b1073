"""``python -m quantumd.cli`` is quantumctl."""

import sys

from quantumd.cli.main import main

sys.exit(main())
