"""From sync to async, route by route: arms of a route, their shares, and what each of them costs."""
