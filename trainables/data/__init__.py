"""Where the data of tasks lives and how it is read: files on disk, checked once, and batches in memory."""
