"""Commands that print the library's figures, from a clone: python -m benchmarks."""
