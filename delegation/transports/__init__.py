"""Ways to reach a peer."""
