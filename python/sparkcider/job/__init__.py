"""The job: images to labelled embeddings and their principal components, in files, by one of two engines.

    OUT/features                path, label, length (bytes), modified (ms since 1970), features (array<float>), error,
                                error_kind (a word of `sparkcider.error_kinds`), digest, fingerprint, thumbnail (as
                                `sparkcider.contents.PREVIEWS` says)
    OUT/pca                     path, label, pca (array<float>) of the images that have features
    OUT/features-json, -csv     path, label, features, error, error_kind as JSON lines or CSV, if requested; pca-json,
                                pca-csv alike
    OUT/pca-model               the fitted PCAModel, for PCAModel.load
    OUT/explained_variance.csv  component, ratio, cumulative
    OUT/findings                duplicates, outliers and labels, as `sparkcider.findings` gives them
    OUT/report.html             all of this as a page
    OUT/summary.json            counts, errors by kind and by reason, seconds per stage, versions, the model's checksum,
                                the settings
    OUT/job.json                what the features depend on, for a run that resumes

`OUT` appears when all of it is written; until then it grows in `OUT.partial`. Both engines write the same; tables are
Parquet.
"""

from sparkcider.job.config import DEFAULT_VARIANCE, ENGINES, FORMATS, MODES, JobConfig, ModelFacts, open_model
from sparkcider.job.counts import TooManyErrorsError, TooManyUnreadError
from sparkcider.job.engine import Choice, choose_engine
from sparkcider.job.progress import Progress
from sparkcider.job.stages import run
from sparkcider.job.summary import Summary

__all__ = [
    "DEFAULT_VARIANCE",
    "ENGINES",
    "FORMATS",
    "MODES",
    "Choice",
    "JobConfig",
    "ModelFacts",
    "Progress",
    "Summary",
    "TooManyErrorsError",
    "TooManyUnreadError",
    "choose_engine",
    "open_model",
    "run",
]
