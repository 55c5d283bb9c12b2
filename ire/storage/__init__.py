"""Storage of files: a folder or an object store, behind one interface."""
