"""What pages read: a copy of the views, questions to it, the browser's own queries, and live questions to the lake."""
