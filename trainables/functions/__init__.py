"""Users' training functions: how they are found, and the handle, the trial, that they train with."""
