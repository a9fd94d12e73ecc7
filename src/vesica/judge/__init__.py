"""From the results of a run's cells to verdicts. Needs no torch.

Each file of a run is read once and each data set opened once; the report takes both from here.
"""

from vesica.judge.findings import Judgement, data_name, judge_run
from vesica.judge.metrics import read_metrics
from vesica.judge.pairs import judge_pair
from vesica.judge.setting import Setting, difference_of, read_settings

__all__ = [
    "Judgement",
    "Setting",
    "data_name",
    "difference_of",
    "judge_pair",
    "judge_run",
    "read_metrics",
    "read_settings",
]
