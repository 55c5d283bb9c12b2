"""Where files live: a folder or an object store, behind one interface."""
