"""Trace files of each format, record by record."""
