"""Commands that show results outside a terminal: the web page, and pictures."""
