"""Where rows come from: files, streams, collections -> batches, each with its address."""
