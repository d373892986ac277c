"""Stand-ins for the providers' own servers: they post webhooks, repeat them as documented, and serve the API side.

Written from the providers' documentation and nothing else: this package imports no provider code of ours, so that the two
can contradict each other.
"""
