"""One study: ask for a config, evaluate it, tell the result; stop and resume at any moment."""

from paretocast.study.judging import score_references
from paretocast.study.search import Observer, Study, StudyResult
from paretocast.study.shelf import load_record

__all__ = ["Observer", "Study", "StudyResult", "load_record", "score_references"]
