"""From the results of a run's cells to verdicts. Needs no torch.

Each file of a run is read once and each data set opened once; the report takes both from here.
"""

from vesica.judge.findings import Judgement, data_name, judge_run
from vesica.judge.images import Drawn, ScoredImages, Votes, open_images, read_votes
from vesica.judge.labels import MIN_RUNS, Doubt, Patch, contradicted, find_doubts
from vesica.judge.looks import check_looks
from vesica.judge.metrics import read_metrics
from vesica.judge.pairs import adjust, judge_pair
from vesica.judge.rising import find_rising
from vesica.judge.scores import Place
from vesica.judge.sentences import say_short
from vesica.judge.setting import Setting, difference_of, fold_of_units, read_settings

__all__ = [
    "MIN_RUNS",
    "Doubt",
    "Drawn",
    "Judgement",
    "Patch",
    "Place",
    "ScoredImages",
    "Setting",
    "Votes",
    "adjust",
    "check_looks",
    "contradicted",
    "data_name",
    "difference_of",
    "find_doubts",
    "find_rising",
    "fold_of_units",
    "judge_pair",
    "judge_run",
    "open_images",
    "read_metrics",
    "read_settings",
    "read_votes",
    "say_short",
]
