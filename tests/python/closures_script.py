"""Runs `sparkcider` several times in one process: `closures_script.py FOLDER RUNS`, RUNS a JSON list of lists of words.

FOLDER/pickles gets all that Spark pickles for its executors, FOLDER/codes the exit codes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pyspark.serializers import CloudPickleSerializer

from sparkcider.cli import main

folder, dumps = Path(sys.argv[1]), CloudPickleSerializer.dumps


def recorded(self: CloudPickleSerializer, value: Any) -> bytes:
    content: bytes = dumps(self, value)
    with (folder / "pickles").open("ab") as file:
        file.write(content)
    return content


CloudPickleSerializer.dumps = recorded
codes = [main(words) for words in json.loads(sys.argv[2])]
(folder / "codes").write_text(json.dumps(codes))
