"""Training: the loop, its step, the optimiser, resuming, sharding and the records of a run."""
