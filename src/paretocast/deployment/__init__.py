"""Deployed forecasters: what is issued every day, and whether it still holds."""
