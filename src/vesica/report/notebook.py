"""A run as a notebook shows it: its verdicts and the forest plot."""

from markupsafe import Markup, escape

from vesica.judge import Judgement
from vesica.report.figures import draw_intervals
from vesica.report.sections import fill_template
from vesica.results import Comparison

HEIGHT_PX = 270
"""Of a setting with one comparison; another 60 for each further one."""


def to_notebook(judged: Judgement) -> str:
    """HTML that looks the same in any notebook: a frame, as styles would leak otherwise."""
    findings = judged.findings
    shown = [
        (
            group.said,
            draw_intervals(group.comparisons, findings.margin)
            if any(isinstance(pair, Comparison) for pair in group.comparisons)
            else Markup(),
        )
        for group in findings.groups
    ]
    page = fill_template("notebook.html.jinja", groups=shown)
    height = sum(HEIGHT_PX + 60 * len(group.comparisons) for group in findings.groups)
    return str(
        Markup('<iframe srcdoc="{}" style="width: 100%; height: {}px; border: 0"></iframe>').format(
            escape(str(page)), height
        )
    )
