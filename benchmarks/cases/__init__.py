"""The benchmarks, a module each: ``measure`` returns its rows, the sides are run in processes of their own."""
