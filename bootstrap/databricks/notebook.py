# Databricks notebook source
# Notebook-scoped install: for standard ("shared") and serverless compute, which speak Spark Connect. Import this file
# as a notebook, or copy its cells. --no-deps: numpy, pandas and pyarrow stay those of the runtime.

# COMMAND ----------

# MAGIC %pip install --no-deps /Volumes/main/default/libs/sparkcider-0.2.0-cp39-abi3-manylinux_2_28_x86_64.whl

# COMMAND ----------

# MAGIC %restart_python

# COMMAND ----------

# On the driver: every line ok.
from sparkcider.cli import doctor

doctor.main(as_json=False)

# COMMAND ----------

# On the workers: sample images through the network that is in the wheel. 20 rows; broken.jpg has its reason.
import tempfile
from pathlib import Path

from sparkcider.functions import image_features
from sparkcider.samples import write_samples

with tempfile.TemporaryDirectory() as folder:
    write_samples(Path(folder))
    files = sorted(path for path in Path(folder).rglob("*.*") if path.suffix in {".jpg", ".jpeg", ".png"})[:20]
    rows = [(path.name, bytearray(path.read_bytes())) for path in files]
outcome = image_features("content", model="fruits-tiny", with_error=True)
features = spark.createDataFrame(rows, "name string, content binary").withColumn("outcome", outcome)
features.selectExpr("name", "size(outcome.features) AS width", "outcome.error").show(20, truncate=False)
