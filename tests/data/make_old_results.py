"""Makes the results of an earlier sparkcider that tests/python/test_old_results.py opens.

    git checkout d3c08c6 && make && python make_old_results.py tests/data/old_results

d3c08c6 (0.2.0) made them. `complete` is the result of 41 sample images, without its report; `unfinished.partial` is
what Ctrl-C left of the same job after 24 of them. The images are not kept: `write_samples` makes the same ones.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from sparkcider.job import JobConfig, run, source, tables
from sparkcider.samples import write_samples

BLOCK_ROWS, BLOCKS = 8, 3


def main(results: Path) -> None:
    """Writes both results."""
    folder = Path(tempfile.gettempdir()) / "sparkcider-samples"
    write_samples(folder / "images", images_per_label=2)
    config = {"input": str(folder / "images"), "model": "fruits-tiny", "engine": "embedded", "workers": 1, "pca_k": 3}
    run(JobConfig(output=str(folder / "complete"), **config))
    source.BLOCK_ROWS = BLOCK_ROWS
    add, added = tables.PartWriter.add, []

    def stopped(writer: tables.PartWriter, rows: object) -> None:
        if len(added) == BLOCKS:
            raise KeyboardInterrupt
        added.append(add(writer, rows))

    tables.PartWriter.add = stopped
    try:
        run(JobConfig(output=str(folder / "unfinished"), **config))
    except KeyboardInterrupt:
        (folder / "complete" / "report.html").unlink()
        shutil.rmtree(folder / "images")
        shutil.rmtree(results, ignore_errors=True)
        shutil.move(folder, results)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
