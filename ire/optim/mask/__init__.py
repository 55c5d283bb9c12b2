"""From curvature to mask: the exact number of flattest coordinates, selected by counting."""
