"""The nodes of a server: each over REST, their replicas, and patience with them."""
