"""What a version is on disk: the only thing the two pipelines share."""
