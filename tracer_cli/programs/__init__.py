"""The programs that tracer calls: git and DVC. Nothing imports them; a program that fails is a ProgramError."""
