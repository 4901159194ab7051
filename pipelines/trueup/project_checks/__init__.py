"""What is wrong with a project, found before it runs: rules over its settings, its files and a summary of its log."""
