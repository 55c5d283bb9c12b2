"""The forms in which a report is written: a page, Markdown, the terminal, and a piece of a notebook."""
