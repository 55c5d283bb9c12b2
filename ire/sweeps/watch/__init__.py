"""Follows a running sweep: TensorBoard, progress display, copies in an object store."""
