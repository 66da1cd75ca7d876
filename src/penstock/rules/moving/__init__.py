"""Which arm a request gets, when an arm is taken back, and what a comparison of two arms allows to say."""
