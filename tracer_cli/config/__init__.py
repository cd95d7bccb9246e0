"""tracer.yaml: its schema, its strict loader, and the resolved values that the stages read."""
