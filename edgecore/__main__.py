"""`python -m edgecore` is `edgecore`."""

from edgecore.cli import main

if __name__ == "__main__":
    main()
