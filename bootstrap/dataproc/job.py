"""The job that submit.sh sends to a Dataproc cluster or a serverless batch: `sparkcider` with the arguments given."""

import importlib.util
import sys

from pyspark import SparkFiles
from pyspark.sql import SparkSession

if importlib.util.find_spec("sparkcider") is None:
    # A batch has no initialization action: the wheel comes as an archive, which the session unpacks.
    SparkSession.builder.appName("sparkcider").getOrCreate()
    sys.path.insert(0, SparkFiles.get("sparkcider.zip"))

from sparkcider.cli import main

sys.exit(main())
