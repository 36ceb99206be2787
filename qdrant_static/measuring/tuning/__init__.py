"""Contains the parts of `tune`: the plans it tries, the race between them, and its report."""
