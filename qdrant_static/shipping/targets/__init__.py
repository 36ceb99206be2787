"""The collection that a shipment fills: made, prepared, marked, pointed at."""
