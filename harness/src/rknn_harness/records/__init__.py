"""What a run records: cases, results, latencies, its folder."""
