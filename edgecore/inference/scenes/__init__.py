"""Scenes with a known truth, drawn instead of filmed: for demonstration, training and measurement."""
