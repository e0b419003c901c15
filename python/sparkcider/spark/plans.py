"""What a DataFrame's plan says before it runs: whether images will be embedded."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sparkcider.notice import warn
from sparkcider.spark.udf import EMBEDDING, embedding_names
from sparkcider.storage.hadoop import is_classic

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


_ALL_FIELDS = 2**31 - 1


def warn_if_embedded_again(features: DataFrame, call: str) -> None:
    """Warns where features are not kept, but come from `image_features` each time that they are read.

    On Spark Connect nobody sees the plan, and nothing is said.

    Args:
        features: What is about to be read.
        call: What reads it, such as `PCA.fit`.
    """
    if is_classic(features.sparkSession) and _embeds(features):
        warn(
            f"{call} reads features that {EMBEDDING} makes: every image is embedded for this call, and again for each "
            "other use of the features; to embed once, write them to Parquet and read that, or cache() them, before"
        )


def _embeds(features: DataFrame) -> bool:
    from py4j.protocol import Py4JError

    plan: Any = features._jdf.queryExecution()  # noqa: SLF001 - a plan has no public Python face
    try:
        ahead = [plan.optimizedPlan()]
        while ahead:
            node = ahead.pop()
            # The optimizer gives each Python function a node of its own. What is cached is a leaf of this plan.
            if node.nodeName().endswith("EvalPython"):
                text = node.simpleString(_ALL_FIELDS)
                if any(re.search(rf"(?<!\w){re.escape(name)}\(", text) for name in embedding_names):
                    return True
            children = node.children()
            ahead += [children.apply(number) for number in range(children.size())]
    except Py4JError:  # a plan that cannot be made fails in the fit, with its own words
        return False
    return False
