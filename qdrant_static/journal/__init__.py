"""A write-ahead journal, so that changes reach the old and the new collection of a migration."""
