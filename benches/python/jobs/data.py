"""The test data: real images and ImageNet models."""

from __future__ import annotations

import os
from pathlib import Path

DATA = Path(os.environ.get("SPARKCIDER_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))
