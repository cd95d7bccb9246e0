"""`tracer diff`: what a refit changed against another revision."""
