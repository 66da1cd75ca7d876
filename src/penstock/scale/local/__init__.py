"""`penstock send --processes N`: one run, spread over cores.

The parent (`run`) opens the run as always and drives a `crew` in place of an engine; `ranges` says who does which
records, `child` is what each process does with them, and `frames` what they say to one another.
"""

from .run import carry_out_in_processes, check_processes

__all__ = ["carry_out_in_processes", "check_processes"]
