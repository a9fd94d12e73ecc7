"""The paper's results as data, its statistics recomputed, and what holds of what it says.

Nothing here is copied from the paper but its tables 3 to 6 and the sentences that are judged; every
other figure is computed when it is asked for.

Source:
    van Beers, Lindström, Okafor and Wiering 2019, Deep Neural Networks with Intersection over Union
    Loss for Binary Image Segmentation.
"""

from vesica.published.document import analyse
from vesica.published.tables import METRICS, TABLES, Pair, Row, rows

__all__ = ["METRICS", "TABLES", "Pair", "Row", "analyse", "rows"]
