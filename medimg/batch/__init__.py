"""Every scan of an export through the pipelines that want it: found once, done once, and accounted for."""
