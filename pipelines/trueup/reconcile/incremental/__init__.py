"""The kernel epoch by epoch: the state that the continuous job retains."""
