"""Functions of the package for notebooks, scripts and the command line."""
