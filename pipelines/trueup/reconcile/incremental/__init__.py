"""The kernel, run epoch by epoch with the state that the continuous job retains."""
