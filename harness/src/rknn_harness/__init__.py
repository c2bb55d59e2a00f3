"""Run models on Rockchip boards over SSH and judge them against scikit-learn.

The modules are the surface: `rknn_harness.boards.boards_file` and `rknn_harness.boards.session.session` reach
a board, `rknn_harness.conformance.run_case` runs a case, `rknn_harness.records.run_folder` reads what a run
recorded. Nothing is imported here, because the virtual board's process starts with this package.
"""

__all__ = ["__version__"]

__version__ = "0.3.0"
