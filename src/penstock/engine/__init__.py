"""Every item through a call: at the limit, in flat memory, one outcome each."""
