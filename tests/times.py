"""What of a log is different in every run: its times."""


def without_times(events):
    """Return the events of a log without their times, whose names end with `seconds`."""
    return [
        {name: value for name, value in event.items() if not name.endswith("seconds")}
        for event in events
    ]
