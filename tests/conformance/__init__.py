"""A rig that judges HTTP caches by the public suite "cache-tests": an origin, a client, checks and verdicts.

`/work/shared/cache-tests/README.md` (beside the project folder: `../shared/cache-tests`) says what the data means;
"section" in this package is a section of that page. Nothing here uses the code it judges, but for its clock.
"""
