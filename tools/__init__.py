"""What may be done to a repository."""
