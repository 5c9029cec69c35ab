"""Metrics of the server in the text format of Prometheus.

What the journal knows is read from it for each answer, so that every worker process gives the same.
Requests are counted where they are answered; with several worker processes the counts lie in files
of the folder PROMETHEUS_MULTIPROC_DIR, and any process adds them up.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector

from paretocast.deployment.bundle_files import RUNGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prometheus_client import Metric

    from paretocast.deployment.hosting import JournalSnapshot

MULTIPLE = "PROMETHEUS_MULTIPROC_DIR"
SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 10.0)


class RequestCounts:
    """Requests by method, route and status, with a histogram of their time."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._latency = Histogram(
            "paretocast_request_seconds",
            "Time from a request's first byte to its answer.",
            ("method", "route", "status"),
            buckets=SECONDS,
            registry=self._registry,
        )

    def add(self, *, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._latency.labels(method, route, str(status)).observe(seconds)

    def text(self) -> bytes:
        """All requests to this server, whichever process answered."""
        if MULTIPLE not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


class _JournalCollector:
    """The journals' metrics; a registry asks for them once."""

    def __init__(self, deployments: Sequence[tuple[str, JournalSnapshot | None]]) -> None:
        self._deployments = deployments

    def collect(self) -> Iterable[Metric]:
        """One family of each metric, with a sample for each deployment."""
        label = ("deployment",)
        up = GaugeMetricFamily(
            "paretocast_deployment_up", "1 if bundle and journal can be read.", labels=label
        )
        issued = CounterMetricFamily(
            "paretocast_forecasts_issued",
            "Forecasts in the journal, all revisions.",
            labels=("deployment", "method"),
        )
        age = GaugeMetricFamily(
            "paretocast_last_issue_age_seconds",
            "Time since the first hour of the latest forecast; negative before it.",
            labels=label,
        )
        coverage = GaugeMetricFamily(
            "paretocast_coverage_percent",
            "Observed hours inside the interval, over all issues.",
            labels=label,
        )
        target = GaugeMetricFamily(
            "paretocast_target_coverage_percent", "Target coverage.", labels=label
        )
        hours = GaugeMetricFamily(
            "paretocast_observed_hours", "Observed hours of issued forecasts.", labels=label
        )
        for name, snapshot in self._deployments:
            up.add_metric([name], float(snapshot is not None))
            if snapshot is None:
                continue
            all_issued = snapshot.deployment.issued()
            counts = Counter(forecast.rung for forecast in all_issued)
            for rung in RUNGS:
                issued.add_metric([name, rung], counts[rung])
            if all_issued:
                age.add_metric([name], time.time() - all_issued[-1].issue_time.timestamp())
            so_far = snapshot.coverage()
            hours.add_metric([name], so_far.n_hours)
            target.add_metric([name], snapshot.bundle.coverage)
            if so_far.percent is not None:
                coverage.add_metric([name], so_far.percent)
        return up, issued, age, coverage, target, hours


def journal_metrics(deployments: Sequence[tuple[str, JournalSnapshot | None]]) -> bytes:
    """Figures from the journals of deployments; None for one that cannot be read."""
    registry = CollectorRegistry()
    registry.register(_JournalCollector(deployments))
    return generate_latest(registry)
