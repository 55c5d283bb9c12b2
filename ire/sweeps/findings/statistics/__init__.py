"""The arithmetic behind a report: speed-ups, intervals, verdicts, times to a target, effects of tuning and settings."""
