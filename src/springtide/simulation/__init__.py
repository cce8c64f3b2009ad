"""The simulator: the production controllers on a virtual clock, with seeds and faults."""
