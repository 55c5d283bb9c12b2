"""What every figure is made of: panels as data, their colours, and how they are drawn in print."""
