"""What a person reads in a terminal: tables of results, and the live view."""
