"""What a collection is."""
