"""One study: ask for a config, evaluate it, tell the result; stop and resume at any moment."""
