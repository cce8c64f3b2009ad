"""What several benchmarks use to put load on an API server, and to run one."""
