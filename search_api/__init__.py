"""How programs ask: the JSON search API."""
