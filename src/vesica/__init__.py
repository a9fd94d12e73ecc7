"""Vesica: which loss to train a segmentation network with, and whether that is more than luck."""

__version__ = "0.1.0"
