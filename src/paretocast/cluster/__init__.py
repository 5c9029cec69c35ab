"""Where jobs run: as processes of this machine, or on a cluster. The only home of subprocess."""
