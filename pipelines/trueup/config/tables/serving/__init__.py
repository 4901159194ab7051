"""Tables of programs that serve others: the web page."""
