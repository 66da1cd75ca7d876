"""One wrapper a file: each asks a rule, awaits `inner`, and knows nothing of the others."""
