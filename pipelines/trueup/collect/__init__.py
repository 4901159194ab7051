"""Collection: raw files are found, opened, cut into records, mapped, checked, and committed with their control row."""
