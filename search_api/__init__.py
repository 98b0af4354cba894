"""How do programs ask? The JSON API: shapes, parameters, HTTP status."""
