"""The orchestrator: the ten-step graph, runs and events."""
