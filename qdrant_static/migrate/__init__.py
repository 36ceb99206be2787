"""Blue/green: writes that lose nothing, and a collection that takes another's place."""
