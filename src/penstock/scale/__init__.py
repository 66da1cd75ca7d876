"""One run over several members."""
