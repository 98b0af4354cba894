"""Documents become a version; a query becomes hits."""
