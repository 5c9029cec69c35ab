"""Named series, a user's own, their checks and the demo generator."""

from paretocast.data.checks import Finding
from paretocast.data.collection import expand_series
from paretocast.data.demo import DemoTruth, generate_demo
from paretocast.data.description import DatasetRow, Fact, describe_dataset, list_datasets
from paretocast.data.readiness import check_dataset
from paretocast.data.reading import Dataset, load_dataset
from paretocast.data.spec import (
    DatasetSpec,
    absolute_reference,
    find_spec,
    moved_reference,
    own_file,
)

__all__ = [
    "Dataset",
    "DatasetRow",
    "DatasetSpec",
    "DemoTruth",
    "Fact",
    "Finding",
    "absolute_reference",
    "check_dataset",
    "describe_dataset",
    "expand_series",
    "find_spec",
    "generate_demo",
    "list_datasets",
    "load_dataset",
    "moved_reference",
    "own_file",
]
