"""Rungs that use no language model: a constant answer, the nearest row, a classifier on words.

Each file has `NAME`, `TITLE`, `KIND`, `applies(task)`, `fit(task, train, dev, seed)` and `load(folder)`; what
`fit` finds answers rows, scores choices where it can, and saves itself.  Nothing here imports torch.
"""
