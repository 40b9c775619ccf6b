"""Tests of the data; a package, so that its modules can share names with those of other rooms."""
