"""Record the truth of leaks and compare it with findings."""
