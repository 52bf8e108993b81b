"""The vocabulary and the product: schema, evidence check, renderers."""
