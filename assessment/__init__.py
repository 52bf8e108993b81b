"""What can be known without a model."""
