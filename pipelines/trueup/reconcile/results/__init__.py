"""What the kernel hands on: finding rows, outcomes, digests."""
