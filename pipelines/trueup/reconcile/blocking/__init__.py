"""Which records can influence each other: neighbourhoods, components and blocking keys."""
