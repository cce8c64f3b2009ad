"""What several benchmarks use to put load on an API server, and to run one.

A benchmark is a script of its own: the project's root, where the tests are, joins its path here.
"""

import signal
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))

signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers which were started end as well
