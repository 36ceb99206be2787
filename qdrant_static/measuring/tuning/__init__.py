"""The parts of `tune`: its questions, the plans it tries, the race between them, its report."""
