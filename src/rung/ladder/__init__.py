"""The ladder: its rungs, what each would cost, the climb, and the verdict drawn from its results.

Import from the files themselves (``from rung.ladder.verdict import verdict``): their main functions
carry the files' names, so re-exporting them here would hide one behind the other.
"""
