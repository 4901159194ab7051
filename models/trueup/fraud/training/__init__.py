"""Labels, training, calibration and metrics."""
