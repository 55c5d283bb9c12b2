"""The gang: a group of worker processes that trains one trial after another. The only room that imports Ray Train."""
