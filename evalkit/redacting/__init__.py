"""Finding what must not be written: tables of secrets, personal data, and the pseudonyms for it."""
