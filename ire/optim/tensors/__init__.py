"""How large tensors are walked through: in blocks that fit the cache, in shards across workers."""
