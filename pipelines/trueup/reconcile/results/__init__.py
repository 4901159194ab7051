"""The results of the kernel: finding rows, provisioning findings, outcomes and digests."""
