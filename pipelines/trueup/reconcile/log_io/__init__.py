"""Reading the log for the kernel and committing its outcome."""
