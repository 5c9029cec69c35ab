"""`python -m paretocast` and the command `paretocast`."""

from __future__ import annotations

import signal


def run() -> None:
    """Load the command line and run it; a Ctrl-C that comes while it loads ends it in silence."""
    try:
        earlier = signal.signal(signal.SIGINT, signal.SIG_DFL)
    except ValueError:  # not in the main thread
        earlier = None
    from paretocast.cli import main

    if earlier is not None:
        signal.signal(signal.SIGINT, earlier)
    main()


if __name__ == "__main__":
    run()
