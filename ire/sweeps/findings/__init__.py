"""From records to what may be said: comparison, fairness contract, and the paper's numbers beside ours."""
