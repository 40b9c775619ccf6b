"""The recipes: `python -m experiments.<name>`."""
