"""`sparkcider run` whose fourth block takes for ever; started by test_job_signals.py."""

from __future__ import annotations

import sys
import time
from typing import Any

from sparkcider import cli
from sparkcider.job import embedded

BLOCKS, SECONDS = 3, 3600.0


class Slow:
    """Embeds a few blocks, then says that it is slow, and is."""

    def __init__(self) -> None:
        self._embed, self._blocks = embedded.extract_with_previews, 0

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Embeds a block."""
        self._blocks += 1
        if self._blocks > BLOCKS:
            print("the slow block", file=sys.stderr, flush=True)
            time.sleep(SECONDS)
        return self._embed(*args, **options)


if __name__ == "__main__":
    embedded.extract_with_previews = Slow()
    sys.exit(cli.main())
