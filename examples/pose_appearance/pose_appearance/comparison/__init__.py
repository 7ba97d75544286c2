"""Every method of the paper side by side: what is run, what is measured, and the page that shows
it.
"""
