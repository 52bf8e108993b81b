"""Faces for other agent systems: MCP, A2A, ACP."""
