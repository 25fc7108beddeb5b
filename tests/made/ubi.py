"""Lines of a UBI log, made up."""

from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 1, tzinfo=UTC)


def event(action="click", search="s1", product="p1", position=1, second=0.0, **other):
    """An event of UBI 1.3; None takes a field out."""
    made = {
        "action_name": action,
        "query_id": search,
        "timestamp": (START + timedelta(seconds=second)).isoformat(timespec="milliseconds"),
        "client_id": "c1",
        "session_id": "z1",
        "user_query": "Red  Hat",
        "event_attributes": {"object": {"object_id": product}, "position": {"ordinal": position}},
    }
    return {name: value for name, value in (made | other).items() if value is not None}


def search(search="s1", ids=("p3", "p1", "p2"), second=0.0, **other):
    """A search of UBI 1.3."""
    made = {
        "query_id": search,
        "user_query": "red hat",
        "client_id": "c1",
        "timestamp": (START + timedelta(seconds=second)).isoformat(timespec="milliseconds"),
        "query_response_hit_ids": list(ids),
        "query_attributes": {},
    }
    return {name: value for name, value in (made | other).items() if value is not None}


LIST = [event("impression", product=f"p{place}", position=place) for place in (1, 2, 3)]
