"""Side by side with peers, on real data: `python -m benchmarks COMMAND`. See README.md beside this file."""
