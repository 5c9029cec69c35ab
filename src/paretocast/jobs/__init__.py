"""Searches as jobs: their scripts, handing them over, and where they stand."""
