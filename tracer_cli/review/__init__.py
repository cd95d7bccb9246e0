"""What a reviewer is shown: what a refit would run, what it changed, and whether it may go live."""
