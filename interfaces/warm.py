"""Everything that a review needs, imported once in the process that the pool's children are forked from."""

import gc

from ml_engineer.agent.lean import import_langgraph

import_langgraph()

import ml_engineer.agent.checkpoints  # noqa: E402
import ml_engineer.agent.handoffs  # noqa: E402
import ml_engineer.agent.workflow  # noqa: E402
import ml_engineer.assessment.assess  # noqa: E402
import ml_engineer.interfaces.jobs  # noqa: E402
import ml_engineer.interfaces.render  # noqa: E402
import ml_engineer.report.html  # noqa: E402
import ml_engineer.report.markdown  # noqa: E402
import ml_engineer.report.sarif  # noqa: E402, F401

gc.collect()
gc.freeze()  # a collection in a child would copy every page that it shares with the others
