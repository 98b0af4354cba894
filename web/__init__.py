"""How do people ask? The search page, the application and its server."""

from web.app import Settings, create_app

__all__ = ["Settings", "create_app"]
