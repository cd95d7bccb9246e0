"""Learn a cheap surrogate from an LLM's own traces, with a certified parity guarantee."""

__version__ = "0.1.0"
