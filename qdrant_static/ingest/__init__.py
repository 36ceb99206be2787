"""From files to points."""
