"""What a shipment must prove before anything points at it."""
