"""The job: a folder of images to labelled embeddings and their principal components, in files.

    OUT/features                path, label, features (array<float>), error; Parquet
    OUT/pca                     path, label, pca (array<float>) of the images that could be read; Parquet
    OUT/features-json, -csv     the same as JSON lines or CSV, if asked; so OUT/pca-json, OUT/pca-csv
    OUT/pca-model               the fitted PCAModel, for PCAModel.load
    OUT/explained_variance.csv  component, ratio, cumulative
    OUT/summary.json            counts, errors by kind, seconds per stage, versions, the model's checksum, the settings

The features are computed once: they are written first, and everything else reads them back.
"""

from sparkcider.job.config import DEFAULT_VARIANCE, FORMATS, MODES, JobConfig, ModelFacts, inspect_model
from sparkcider.job.stages import Progress, label_column, run, start_session

__all__ = [
    "DEFAULT_VARIANCE",
    "FORMATS",
    "MODES",
    "JobConfig",
    "ModelFacts",
    "Progress",
    "inspect_model",
    "label_column",
    "run",
    "start_session",
]
