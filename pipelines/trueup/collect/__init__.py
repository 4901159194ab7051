"""Raw files become events: found, opened, cut into records, mapped, checked, committed with their control row."""
