"""The judge: CPython's own asyncio tests, with every loop that they create replaced by Rondel's.

The tests are those of the interpreter that runs this, `test.test_asyncio` above all. Each runs
twice in the same harness, in fresh processes with a time limit: on the standard library's loop and
on Rondel's. What the first passes the second must pass, unless `exclusions.toml` says why not.

`suites` says what is run, `environment` and `substitution` prepare the interpreters, `worker` runs
tests in one of them, `supervisor` watches it from outside, `verdict` compares, `report` prints.
"""
