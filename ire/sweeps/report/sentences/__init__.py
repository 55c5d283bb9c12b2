"""What a report says in sentences: the headline, what follows it, and the notes below."""
