"""`tracer pull`: rows of a database and objects of a store, copied into immutable part files."""
