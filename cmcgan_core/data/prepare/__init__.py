"""Prepare datasets: read recordings, cut them into pairs, and write the pairs with their features.

```python
from cmcgan_core.data.prepare import SourceOptions, check, prepare

report = prepare(Path("urmp"), Path("prepared/urmp"), None, SourceOptions())
faults = check(report.out)
```
"""

from cmcgan_core.data.prepare.pipeline import PreparePlan, PrepareReport, check, plan, prepare
from cmcgan_core.data.prepare.recording import SourceOptions

__all__ = ["PreparePlan", "PrepareReport", "SourceOptions", "check", "plan", "prepare"]
