"""The encoding pipeline: documents become a published version."""
