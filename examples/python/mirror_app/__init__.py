"""The application behind `mirror.py`, one idea in each file.

`targets`   what to download: a URL, the name it is saved under, the checksum it must have
`partial`   the unfinished file beside the final one, and what is needed to go on with it
`download`  one attempt to bring one target to disk
`run`       all targets: how many at once, and when to try again
`progress`  what the person sees meanwhile
`cli`       the command line and its exit codes
"""
