"""HeyGen as the sandbox plays it: translations by v3 and v2, and their caption links."""
