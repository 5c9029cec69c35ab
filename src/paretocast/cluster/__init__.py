"""Jobs on this machine or on a cluster: executors, scripts, submissions, their status."""

STORAGE_VARIABLE = "PARETOCAST_STORAGE"
"""Environment variable with the storage of a study, which workers take their password from."""
