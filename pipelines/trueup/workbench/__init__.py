"""The web page `trueup workbench`: pages over the views, decisions in the log, and the access rules in front of both."""
