"""Masks of many images: one after another, in constant memory, and again where it stopped.

In the folder of the output are `masks/`, and `probabilities/` and `overlays/` where they are asked
for, each with the images' names and inner folders; `predictions.csv`, a row for each image; and
`model.json`, which says what made them. Where each pixel is of one class, a mask holds the numbers
of the classes, in the order of `model.json`, and nothing is called foreground.
"""

from vesica.predict.folder import Outcome, predict_folder
from vesica.predict.job import Job, plan_job
from vesica.predict.pictures import draw_overlay, palette

__all__ = ["Job", "Outcome", "draw_overlay", "palette", "plan_job", "predict_folder"]
