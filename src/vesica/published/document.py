"""Everything about the published tables in one document that JSON can hold."""

from dataclasses import asdict
from typing import Any

from vesica.published import contrasts
from vesica.published.conclusion import conclusion
from vesica.published.discussion import discussion
from vesica.published.recomputed import figures
from vesica.published.softness import softness
from vesica.published.tables import rows
from vesica.published.unseen import unseen

SCHEMA = 1
SOURCE = (
    "van Beers, Lindström, Okafor and Wiering 2019, Deep Neural Networks with Intersection over "
    "Union Loss for Binary Image Segmentation, tables 3 to 6"
)


def analyse() -> dict[str, Any]:
    """The tables, the paper's statistics recomputed, its claims, what it left out, and its IoU.

    Accuracy and IoU are in thousandths in `rows` and `unseen`, in points in `categories`,
    `sparsity` and `softness.differences`, and fractions elsewhere.
    """
    return {
        "schema": SCHEMA,
        "source": SOURCE,
        "rows": [asdict(row) for row in rows()],
        "figures": [asdict(figure) | {"agrees": figure.agrees} for figure in figures()],
        "claims": [asdict(claim) for claim in (*discussion(), *conclusion())],
        "categories": [asdict(category) for category in contrasts.categories()],
        "sparsity": asdict(contrasts.sparsity()),
        "unseen": unseen(),
        "softness": softness(),
    }
