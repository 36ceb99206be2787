"""What `tune` is made of: its questions, the plans it tries, the race between them, its report."""
