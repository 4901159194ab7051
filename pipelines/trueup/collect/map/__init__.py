"""Source columns to event columns: decimals, times, presets and the mapping."""
