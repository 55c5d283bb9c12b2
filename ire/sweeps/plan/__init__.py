"""What defines a sweep: its options, its plan, the papers' presets, and what a resume may change."""
