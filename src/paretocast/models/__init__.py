"""Forecasting models behind one contract (`base`) and the references they must beat."""
