"""pyspark.ml stages: ImageFeaturizer, and PCA and StandardScaler in the words of `pyspark.ml.feature`.

from sparkcider.feature import PCA   # in place of pyspark.ml.feature
"""

import sparkcider.spark.installed  # noqa: F401 - first: it says what is missing

# isort: split
from sparkcider.spark.featurizer import ImageFeaturizer
from sparkcider.spark.pca import PCA, PCAModel
from sparkcider.spark.scaler import StandardScaler, StandardScalerModel

__all__ = ["PCA", "ImageFeaturizer", "PCAModel", "StandardScaler", "StandardScalerModel"]
