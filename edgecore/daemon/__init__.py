"""THE FRAME: puts the rooms together, keeps them running, and is the process that systemd starts.

May import every room; no room may import it. Kept import-light: the CLI reads the exit codes here.
"""
