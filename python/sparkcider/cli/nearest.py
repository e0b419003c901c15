"""The command `nearest`: the images of a result that are nearest to an image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparkcider.cli.parser import add_command, finish_command, show

if TYPE_CHECKING:
    import argparse


def add_commands(commands: Any) -> None:
    """Adds the command to the subparsers of `sparkcider`."""
    nearest = add_command(
        commands,
        "nearest",
        summary="find the images of a result that are nearest to an image",
        example="sparkcider nearest out --image images/Lime/001.jpg --k 5",
        description="Embeds an image as the images of a result were, and prints those that are nearest to it by the "
        "cosine of their features.",
    )
    nearest.add_argument("result", metavar="OUT", help="folder or URI that `sparkcider run` has written")
    nearest.add_argument("--image", required=True, metavar="FILE", help="path of the image")
    nearest.add_argument("--k", type=int, default=10, metavar="K", help="images to print (default: %(default)s)")
    nearest.add_argument("--model", help="name, path or URI of the model (default: the one that the result names)")
    finish_command(nearest, _nearest)


def _nearest(options: argparse.Namespace) -> int:
    import pyarrow as pa

    from sparkcider.findings import nearest
    from sparkcider.job.finished import features_of, reopen_model

    extractor = reopen_model(options.result, options.model)
    features, errors = extractor.extract(pa.array([Path(options.image).read_bytes()]))
    if features.null_count:
        raise ValueError(f"{options.image} cannot be embedded: {errors[0]}")
    rows = features_of(options.result, ("path", "label", "features"))
    found = nearest(rows, features, options.k).drop(["query"]).to_pylist()
    lines = [f"{row['rank']:>4} {row['similarity']:>10.4f}  {row['label'] or '-'}  {row['path']}" for row in found]
    show(options, found, [f"{'rank':>4} {'similarity':>10}  label  path", *lines])
    return 0
