"""Files of a workspace: where they lie, who works on what, how far a study is."""
