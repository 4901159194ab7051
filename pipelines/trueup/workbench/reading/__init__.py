"""Reading for pages: a copy of the views, queries of it, the browser's own queries, and live queries of the lake."""
