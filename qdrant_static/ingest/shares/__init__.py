"""An embedded collection of several shards, built by a process for each."""
