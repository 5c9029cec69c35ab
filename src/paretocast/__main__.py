"""`python -m paretocast` and the command `paretocast`."""

from __future__ import annotations

# Built in: the module `signal` takes time to load, in which a Ctrl-C would end in a traceback.
import _signal  # type: ignore[import-not-found]
import sys


def run() -> None:
    """Load the command line and run it; a Ctrl-C outside of a command ends it in silence."""
    listens = _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler
    if listens:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    from paretocast.cli import main
    from paretocast.cli.tune import INTERRUPTED

    try:
        if listens:
            _signal.signal(_signal.SIGINT, _signal.default_int_handler)
        main()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    finally:
        if listens:  # while Python ends, too
            _signal.signal(_signal.SIGINT, _signal.SIG_DFL)


if __name__ == "__main__":
    run()
