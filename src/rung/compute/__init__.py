"""How a base is computed: its path, attention over prefix trees, layers with their gradients, the head."""
