"""Traversal of large tensors: in blocks that fit the cache, in shards across workers."""
