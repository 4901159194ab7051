"""The evaluation of sessions and charge groups: matching, classification, booking and life cycle."""
