"""What became of every row: the ledger, and what a run is recognized by."""
