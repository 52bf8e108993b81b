"""Text only: prompts, peer definitions, report templates."""
