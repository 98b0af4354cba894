"""How people ask: the search page and the server."""
