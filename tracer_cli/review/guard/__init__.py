"""`tracer guard --check`: whether a refit may go live."""
