"""What changed from one run to another, or inside one run from one toolkit, board or precision to another."""

from rknn_harness.report.comparison.choice import Choice
from rknn_harness.report.comparison.comparing import Comparison, OutcomeChange, compare
from rknn_harness.report.comparison.movements import Movement

__all__ = ["Choice", "Comparison", "Movement", "OutcomeChange", "compare"]
