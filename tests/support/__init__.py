"""What the tests share: the loops under test, leak checks, protocols, sockets, children."""
