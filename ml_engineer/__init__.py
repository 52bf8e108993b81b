"""Brings a prototype machine-learning repository to production.

`ml_engineer_graph` is the review as a compiled LangGraph graph (`interfaces/langgraph_export.py`). LangGraph is
imported when the graph is asked for, not before.
"""

TYPE_CHECKING = False  # the module `typing` would be the first import that takes time
if TYPE_CHECKING:
    from ml_engineer.interfaces.langgraph_export import ml_engineer_graph as ml_engineer_graph

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name == "ml_engineer_graph":
        from ml_engineer.interfaces import langgraph_export

        return langgraph_export.ml_engineer_graph
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
