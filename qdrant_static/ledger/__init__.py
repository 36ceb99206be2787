"""Records what became of every row, so that an interrupted job continues where it was."""
