"""Finished studies read back: forecasts, assessments, tables, repair, the second stage."""
