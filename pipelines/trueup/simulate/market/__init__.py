"""The simulated operator: profile, services, network, subscribers and who calls whom."""
