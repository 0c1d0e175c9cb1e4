"""Executed notebooks -> the book, its explorer and its releases."""
