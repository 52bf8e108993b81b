"""Support for the tests and benchmarks. Not installed, and never called a model in the product's output."""
