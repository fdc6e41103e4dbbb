"""Operations that are cancelled, the world they run in, and the account of what they owned."""
