"""Blue/green migration: fills a new collection, proves it, and moves the alias."""
