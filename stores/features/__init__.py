"""The features, each defined once and used by training and by serving alike.

`history` remembers games and takes snapshots of players, teams and leagues as of a moment; `vector` joins the snapshots
of one question into the row that the model sees; `tables` are the gold tables that hold the snapshots.
"""
