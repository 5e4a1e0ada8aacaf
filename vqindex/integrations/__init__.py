"""Thin adapters to other libraries, each in a module of its own and imported from there."""
