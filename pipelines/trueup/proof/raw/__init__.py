"""Raw bytes: finds the files of units, maps their records again and compares the result with the log."""
