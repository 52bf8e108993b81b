"""Peers, the routing graph, hand-offs and replies."""
