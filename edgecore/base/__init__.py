"""THE VOCABULARY: the words that every room shares. Standard library only, no I/O, no asyncio.

What lives here is imported by every other room, so nothing here may import one of them.
"""
