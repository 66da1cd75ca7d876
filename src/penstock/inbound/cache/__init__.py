"""The shared cache itself, whoever asks and whoever is asked."""
