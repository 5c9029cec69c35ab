"""Tuning of probabilistic day-ahead forecasters for accuracy and honest intervals."""

__version__ = "0.1.0"
