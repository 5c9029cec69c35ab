"""Jobs on this machine or on a cluster: executors, scripts, submissions, their status."""
