"""penstock inside the code that is there: a client with a face for each colour, and layers for other clients."""
