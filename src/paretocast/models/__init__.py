"""Forecasting models behind one contract (`base`) and the baselines they must beat."""
