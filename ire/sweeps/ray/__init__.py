"""The shell around Ray Tune: the run, the cluster, disk space and interruption."""
