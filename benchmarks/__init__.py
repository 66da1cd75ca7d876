"""Side-by-side comparisons and long runs; never part of the test gate. See benchmarks/README.md."""
