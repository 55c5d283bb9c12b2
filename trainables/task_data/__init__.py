"""The data of a task as `ire data` treats it: prepared from the original files, and shown before a sweep."""
