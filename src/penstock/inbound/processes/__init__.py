"""One cache in several processes: each URL belongs to one of them, and the others pass its requests on to that one."""
