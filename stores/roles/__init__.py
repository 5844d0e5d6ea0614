"""What each store must do, one Protocol per role; its semantics are written here once.

The adapters are in the folders of the servers (``stores/postgres``, ``stores/redis_store``, …), one file per role;
``tests/contract`` runs one suite per role over every one of them.
"""
