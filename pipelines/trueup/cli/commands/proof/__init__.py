"""Commands that prove the log: anchors and verification."""
