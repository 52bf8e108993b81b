"""As `warm`, for a batch that asks a model: LangGraph and the SDK are imported too."""

import gc

import ml_engineer.interfaces.batch.modelled
import ml_engineer.interfaces.batch.warm
import ml_engineer.interfaces.warm  # noqa: F401
from ml_engineer.agent.client import import_sdk

import_sdk()
gc.collect()
gc.freeze()
