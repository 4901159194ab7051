"""Monitor drift, alert rate and label rate of scored days."""
