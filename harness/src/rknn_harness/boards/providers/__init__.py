"""Where boards come from: started here, or powered by a command."""
