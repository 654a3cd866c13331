"""``python -m onnxsal`` is the command ``onnxsal``."""

import sys

from onnxsal.cli import main

sys.exit(main())
