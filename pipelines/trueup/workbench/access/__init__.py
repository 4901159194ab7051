"""Access to the page: users and tokens, sessions, the gate in front of every request, and the log of actions."""
