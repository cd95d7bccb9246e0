"""Watching a policy from its trace logs, offline: parity at all times, labels, drift against the fit data, volume."""
