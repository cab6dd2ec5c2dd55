"""What the benchmarks measure: programs that do one round of work for each line they are given."""
