"""What several benchmarks use to put load on an API server, and to run one.

A benchmark is a script of its own: the project's root, where the tests are, joins its path here.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
