"""Train on and score any table of entities with a time, a label and features of its owner."""
