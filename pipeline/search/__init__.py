"""The search pipeline: a query becomes hits."""
