"""Talks to the nodes of a server over REST, and reads the state of their replicas."""
