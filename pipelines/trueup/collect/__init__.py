"""Collection: find and open raw files, cut them into records, map and check the records, and commit them with a control row."""
