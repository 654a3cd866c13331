"""Makes the harness importable from the test modules beside it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
