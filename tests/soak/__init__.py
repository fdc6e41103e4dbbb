"""The soak: mixed load on one loop for as long as asked, which must leave nothing behind.

A run is a row of rounds. In a round workers repeat exchanges of every kind in `network` and `local`
side by side, and check what they get. Between rounds they rest: each ends the exchange it is in,
then `samples` counts what the process holds. At the end `verdict` says of each series whether it
stayed flat, and of each kind of exchange whether one failed or was lost.
"""
