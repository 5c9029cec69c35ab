"""`python -m paretocast`."""

from paretocast.cli import main

if __name__ == "__main__":
    main()
