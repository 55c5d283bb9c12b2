"""The arms of a comparison: what a method is made of, and which settings each part takes."""
