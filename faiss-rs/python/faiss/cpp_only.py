"""Functions and methods of Faiss that take objects of C++ which Python can't make: whoever calls one gets a TypeError, as in Faiss. They are here so
that a program that looks for them finds them; what they are for is done by the methods around them, and in Rust by `HNSW` and `NSG` themselves."""

from collections.abc import Callable
from typing import Any

METHODS = {
    "HNSW": {
        "add_links_starting_from": "a LockVector",
        "compute_forward_links_deterministic": "a std::vector of pairs",
        "search": "a ResultHandler",
        "search_level_0": "a ResultHandler",
    },
    "IndexIVFFastScan": {
        "compute_LUT": "a CoarseQuantized",
        "compute_LUT_uint8": "a CoarseQuantized",
        "range_search_dispatch_implem": "a CoarseQuantized",
        "search_dispatch_implem": "a CoarseQuantized",
        "search_implem_14": "a CoarseQuantized",
    },
    "NSG": {
        "add_reverse_links": "a std::vector of locks",
        "link": "a Graph<NSG::Node>",
        "sync_prune": "a std::vector of NSG::Node",
    },
}

__all__ = [
    "hnsw_add_vertices_deterministic",
    "search_from_candidate_unbounded",
    "search_from_candidates",
    "search_from_candidates_panorama",
    "search_neighbors_to_add",
]


def refusing(name: str, wanted: str) -> Callable[..., Any]:
    """What raises a TypeError when it is called."""

    def function(*args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"{name} takes {wanted}, an object of C++ that Python can't make")

    function.__name__ = function.__qualname__ = name
    function.__module__ = "faiss"
    function.__doc__ = f"TypeError: it takes {wanted}, an object of C++ that Python can't make."
    return function


def methods(cls: str) -> dict[str, Callable[..., Any]]:
    """The methods of a class that only C++ can call."""
    return {name: refusing(f"{cls}.{name}", wanted) for name, wanted in METHODS.get(cls, {}).items()}


hnsw_add_vertices_deterministic = refusing("hnsw_add_vertices_deterministic", "a std::function")
search_from_candidate_unbounded = refusing("search_from_candidate_unbounded", "an HNSW::Node")
search_from_candidates = refusing("search_from_candidates", "a ResultHandler")
search_from_candidates_panorama = refusing("search_from_candidates_panorama", "a ResultHandler")
search_neighbors_to_add = refusing("search_neighbors_to_add", "a std::priority_queue")
