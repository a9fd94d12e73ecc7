"""The paper: its tables, what holds of its sentences, its grid, and ours beside it.

Nothing here is copied from the paper but its tables 3 to 6 and the sentences that are judged
(`published.csv`, `claims.toml`); every other figure is computed when it is asked for. Only
`cli/paper.py` imports this room.

Source:
    van Beers, Lindström, Okafor and Wiering 2019, Deep Neural Networks with Intersection over Union
    Loss for Binary Image Segmentation.
"""
