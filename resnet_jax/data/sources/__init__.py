"""One file for each kind of source; a row of `datasets.DATASETS` names a loader from here."""
