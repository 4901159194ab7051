"""The pages, one file each; `register` adds a page to the application."""
