"""Where the curvature of each coordinate comes from, and how it is averaged."""
