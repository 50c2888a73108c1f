"""Dead letters: messages that a group could not process, kept to be looked at."""
