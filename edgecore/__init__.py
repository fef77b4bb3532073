"""edgecore: a Greengrass-style core for the Raspberry Pi. Kept import-light: workers import through it."""

from typing import Final

__version__: Final = "0.1.0"
