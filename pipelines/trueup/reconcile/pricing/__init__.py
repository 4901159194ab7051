"""What each session should cost, allowance pools included, and what explains a wrong amount."""
