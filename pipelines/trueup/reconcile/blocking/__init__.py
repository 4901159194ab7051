"""Find the records that can influence each other: neighbourhoods, components and blocking keys."""
