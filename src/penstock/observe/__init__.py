"""What is measured, as plain values; one file per backend that shows it."""
