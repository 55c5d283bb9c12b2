"""What is shown while a sweep runs: TensorBoard, progress, copies in an object store."""
