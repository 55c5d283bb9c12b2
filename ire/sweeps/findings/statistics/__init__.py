"""The arithmetic behind a report: speed-ups, intervals, verdicts, times to a target, what tuning and settings did."""
