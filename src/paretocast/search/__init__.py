"""Spaces, objectives, samplers, the Pareto front and the selection of a trial."""
