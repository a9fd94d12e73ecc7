"""Is one loss better than another, by how much, and is that more than luck? NumPy and SciPy only.

`compare` gives the verdict on a run: seeds and images are both samples. `paired` answers what a
short list of paired differences asks, `power` how many seeds or images a verdict takes, `looks`
what adding seeds until the verdict is clear costs, `trend` how a difference moves along a scale.
"""

from vesica.statistics.looks import LOOKS, Shares, share_interval, shares_at, spent
from vesica.statistics.new_image import (
    MIN_FOR_LIMIT,
    NewImage,
    expect_of_new,
    limit_of_new,
    most_beyond,
)
from vesica.statistics.paired import holm, paired_t, sign_flip, sign_test, signed_rank
from vesica.statistics.power import (
    POWER,
    Limit,
    Need,
    Noise,
    images_needed,
    limit_at,
    limit_of_images,
    power_at,
    reach,
    seeds_likely,
    seeds_needed,
)
from vesica.statistics.trend import has_slope, slope_table
from vesica.statistics.verdict import (
    INTERVAL_TOO_WIDE,
    LEVEL,
    MARGIN,
    MIN_SEEDS,
    MIN_UNITS,
    SMALLEST_P_VALUE,
    Comparison,
    Verdict,
    compare,
    equivalence_p_value,
)

__all__ = [
    "INTERVAL_TOO_WIDE",
    "LEVEL",
    "LOOKS",
    "MARGIN",
    "MIN_FOR_LIMIT",
    "MIN_SEEDS",
    "MIN_UNITS",
    "POWER",
    "SMALLEST_P_VALUE",
    "Comparison",
    "Limit",
    "Need",
    "NewImage",
    "Noise",
    "Shares",
    "Verdict",
    "compare",
    "equivalence_p_value",
    "expect_of_new",
    "has_slope",
    "holm",
    "images_needed",
    "limit_at",
    "limit_of_images",
    "limit_of_new",
    "most_beyond",
    "paired_t",
    "power_at",
    "reach",
    "seeds_likely",
    "seeds_needed",
    "share_interval",
    "shares_at",
    "sign_flip",
    "sign_test",
    "signed_rank",
    "slope_table",
    "spent",
]
