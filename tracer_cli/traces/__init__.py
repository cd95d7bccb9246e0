"""From trace files to one row per distinct text: readers, field mapping, quarantine, merging, split."""
