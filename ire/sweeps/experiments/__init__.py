"""The Python API: start a sweep, resume one, open a folder, export it, train one trial alone."""
