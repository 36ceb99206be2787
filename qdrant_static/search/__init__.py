"""How a collection is asked."""
