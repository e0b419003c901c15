"""What findings and report cost a job, and how the report of 23,619 images does in Chromium without a graphics card.

    python benches/python/report.py [FOLDER]

FOLDER: images for the job. Default: the fruits of the test data (SPARKCIDER_TEST_DATA). Needs MobileNetV2 and Chromium.
"""

import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "python"))

from browser import chromium

from sparkcider import findings
from sparkcider.job import JobConfig, run
from sparkcider.report import render

DATA = Path(os.environ.get("SPARKCIDER_TEST_DATA", "../shared/data"))
TURNS = 3
N, LABELS = 23_619, 141

DRAG = """() => new Promise((done) => {
  const canvas = document.querySelector("#map canvas");
  const box = canvas.getBoundingClientRect();
  const send = (kind, x) => canvas.dispatchEvent(
    new PointerEvent(kind, { pointerId: 1, clientX: box.left + x, clientY: box.top + 200, bubbles: true }));
  canvas.setPointerCapture = () => {};
  const times = [];
  send("pointerdown", 200);
  const step = (now) => {
    times.push(now);
    if (times.length > 120) {
      send("pointerup", 200);
      done(times.slice(1).map((time, at) => time - times[at]));
      return;
    }
    send("pointermove", 200 + 2 * (times.length % 60));
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
})"""


def main(images: Path) -> None:
    """Prints the price of a job's findings and report, then the figures of the page."""
    with tempfile.TemporaryDirectory() as folder:
        price(images, Path(folder))
        page(Path(folder))


def price(images: Path, folder: Path) -> None:
    """Whole jobs with and without thumbnails, findings and report, in turns."""
    model = str(DATA / "models" / "mobilenetv2_imagenet.onnx")
    ratios = []
    for turn in range(TURNS):
        took = {}
        for name, wanted in (("plain", False), ("with report", True)):
            config = JobConfig(
                input=str(images), output=str(folder / "out"), model=model, options={"normalization": "tf"}, pca_k=100,
                mode="overwrite", engine="embedded", thumbnails=wanted, report=wanted,
            )  # fmt: skip
            begin = time.perf_counter()
            summary = run(config, progress=lambda _line: None)
            took[name] = time.perf_counter() - begin
            stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in summary["seconds"].items())
            print(f"turn {turn}, {name}: {took[name]:.1f} s for {summary['images']:,} images ({stages})")
        ratios.append(took["with report"] / took["plain"])
    print(f"thumbnails, findings and report: {median(ratios) - 1:.1%} more (median of {TURNS})")


def page(folder: Path) -> None:
    """Opens a report of N images in Chromium, and drags its map."""
    random = np.random.default_rng(0)
    label = [f"Fruit {at % LABELS}" for at in range(N)]
    vectors = random.standard_normal((LABELS, 64))[np.arange(N) % LABELS] + 0.3 * random.standard_normal((N, 64))
    lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.astype(np.float32).ravel()), 64)
    paths = [f"s3://bucket/fruits-360/Training/{name}/r_{at}_100.jpg" for at, name in enumerate(label)]
    thumbnails = pa.array([random.bytes(1200) for _ in range(N)])
    rows = pa.table({"path": paths, "label": label, "features": lists, "thumbnail": thumbnails})
    html = render({"images": N}, rows.rename_columns(["path", "label", "pca", "thumbnail"]), findings.find(rows))
    (folder / "report.html").write_text(html)
    print(f"report of {N:,} images in {LABELS} labels: {len(html.encode()) / 1e6:.1f} MB")
    with chromium() as browser:
        shown = browser.new_page(viewport={"width": 1280, "height": 900})
        begin = time.perf_counter()
        shown.goto((folder / "report.html").as_uri())
        shown.wait_for_selector("html[data-ready]")
        print(f"opened in {time.perf_counter() - begin:.1f} s")
        shown.locator("#map canvas").scroll_into_view_if_needed()
        shown.wait_for_timeout(500)
        between = shown.evaluate(DRAG)
        print(f"dragged at {1000 / median(between):.0f} frames/s (median; slowest {1000 / max(between):.0f})")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DATA / "fruits")
