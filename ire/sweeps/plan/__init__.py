"""What defines a sweep: its plan, the paper's presets, and what a resume may change."""
