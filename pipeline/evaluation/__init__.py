"""How good a ranking is, measured against judged queries."""
