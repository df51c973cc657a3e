"""The page to read, `arms`, and what runs it: one attempt at a run, the session of a command, test scores."""
