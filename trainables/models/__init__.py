"""Networks that no library has in the form the papers used."""
