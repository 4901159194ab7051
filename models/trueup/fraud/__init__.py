"""Fraud detection: windowed features of transactions, a model that scores them, and the reasons of each score."""
