"""What notebooks show of a fitted PCA."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkcider.notebook_html import facts_table, share_bars

if TYPE_CHECKING:
    from sparkcider._native import Pca


def pca_html(title: str, pca: Pca) -> str:
    """Its sizes and solver as a table, the share of the variance by component as bars."""
    ratios = pca.explained_variance_ratio_
    facts = {
        "samples": int(pca.n_samples_),
        "features": pca.n_features_,
        "components": pca.n_components_,
        "variance kept": f"{float(ratios.sum()):.1%}",
        "standardized": pca.scale_ is not None,
        "solver": pca.solver_,
    }
    return facts_table(title, facts, share_bars(ratios))
