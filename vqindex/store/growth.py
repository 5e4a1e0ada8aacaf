"""How a store's index grows with its rows."""

CODES = "EDEN4"  # of some thousand rows and more
WAITING = 4096  # rows that are searched exactly before any is encoded
TAIL = 1024  # newest rows beside the codes, encoded when there are more
