"""From a study to tomorrow's forecast: bundles, their journal, monitoring and retraining."""
