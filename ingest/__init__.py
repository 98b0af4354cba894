"""Sources of any readable kind become documents and passages."""
