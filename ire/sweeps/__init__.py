"""Sweeps that settle optimizer claims: what launches, resumes, watches and reports them."""
