"""NEIGHBOURS: what stands around a core when there is no hardware and no account.

Never imported by rooms or daemon.
"""
