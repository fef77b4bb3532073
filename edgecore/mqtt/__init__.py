"""THE LANGUAGE: MQTT 3.1.1 and 5, sans-IO. Bytes in, packets out, and the server half of a session.

Nothing here opens a socket, reads a clock, starts a task or knows who may do what. The driver owes
it: bytes as they come, monotonic `now`, a call at each `next_deadline()`, and the sending of what
it hands back. "5, 3.1.2.10" in a comment is a section of MQTT 5, "3.1.1, 3.8" one of MQTT 3.1.1.
"""
