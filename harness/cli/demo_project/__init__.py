"""A shop's support agent: the project that `goldrun demo` copies into a folder of its own."""
