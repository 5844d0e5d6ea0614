"""The words of the product: props, positions, counts and their distributions."""
