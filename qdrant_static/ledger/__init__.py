"""The ledger: what became of every row, and how an interrupted run is continued."""
