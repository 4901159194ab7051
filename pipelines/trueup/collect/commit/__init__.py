"""One part of a unit committed with its control row: hash chain and checks across rows."""
