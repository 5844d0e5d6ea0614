"""Operating the stores: their state, their schema, their backup and their soundness. One file per store."""
