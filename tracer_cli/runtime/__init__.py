"""Using a policy: load it with all its checks, and route inputs."""
