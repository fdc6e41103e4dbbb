"""The judge of executors: CPython's own tests of `concurrent.futures`, run on Rondel's classes.

`python -m executor_conformance`, with the folder `tests` on the path, puts each class of `POOLS` in
the place of the standard library's, and runs the tests that are about it.
"""
