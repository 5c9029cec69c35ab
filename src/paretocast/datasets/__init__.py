"""Named series, a user's own, their checks and the demo generator."""

from paretocast.datasets.checks import Finding
from paretocast.datasets.demo import DemoTruth, generate_demo, write_demo_csv
from paretocast.datasets.reading import (
    Dataset,
    DatasetRow,
    Fact,
    check_dataset,
    describe_dataset,
    list_datasets,
    load_dataset,
)
from paretocast.datasets.spec import DatasetSpec, find_spec, own_file
from paretocast.datasets.table import check_frame

__all__ = [
    "Dataset",
    "DatasetRow",
    "DatasetSpec",
    "DemoTruth",
    "Fact",
    "Finding",
    "check_dataset",
    "check_frame",
    "describe_dataset",
    "find_spec",
    "generate_demo",
    "list_datasets",
    "load_dataset",
    "own_file",
    "write_demo_csv",
]
