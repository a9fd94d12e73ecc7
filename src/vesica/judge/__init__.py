"""From the results of a run's cells to verdicts. Needs no torch.

Each file of a run is read once and each data set opened once; the report takes both from here.
"""

from vesica.judge.findings import Judgement, data_name, judge_run
from vesica.judge.looks import check_losses
from vesica.judge.metrics import read_metrics
from vesica.judge.pairs import judge_pair, say_short
from vesica.judge.setting import Place, Setting, difference_of, fold_of_units, read_settings

__all__ = [
    "Judgement",
    "Place",
    "Setting",
    "check_losses",
    "data_name",
    "difference_of",
    "fold_of_units",
    "judge_pair",
    "judge_run",
    "read_metrics",
    "read_settings",
    "say_short",
]
