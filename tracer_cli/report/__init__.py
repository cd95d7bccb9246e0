"""What the report shows; how it looks is in templates/report."""
