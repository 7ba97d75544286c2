"""Every method of the paper side by side: what is run, and the page that shows it."""
