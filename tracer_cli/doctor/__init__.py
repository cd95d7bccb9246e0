"""`tracer doctor`: what is wrong with a project or its surroundings, and how to mend it."""
