"""The jobs: wiring of the pure steps into engines, and nothing else."""
