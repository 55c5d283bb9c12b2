"""From curvature to mask: selects the exact number of flattest coordinates by counting."""
