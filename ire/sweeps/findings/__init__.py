"""From records to findings: comparison, fairness contract, and the papers' numbers beside ours."""
