"""Scores of quantile forecasts, their uncertainty, and where a forecast keeps its promise."""
