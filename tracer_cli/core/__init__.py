"""Numbers in, numbers out: folds, surrogates, neighbours, acceptor, certificate, frontier, policy graph.

Nothing here knows of files, configuration, DVC or the command line.
"""
