"""What `speed` times; each function runs in a process of its own."""
