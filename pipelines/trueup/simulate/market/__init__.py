"""The simulated market: profile, services, network, subscribers and their contacts."""
