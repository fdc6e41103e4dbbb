"""How pools of threads and of processes end: how soon, and what they leave.

`python -m pool_endings`, with the folder `tests` on the path, ends pools in every state and in
every way, and prints how long that took; more than a second, or anything left, is a failure.
"""
