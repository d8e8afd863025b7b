"""Export prepared datasets in layouts that other tools read. `data.prepare.webdataset` reads WebDataset shards.

```python
from cmcgan_core.data.export import export_dataset

report = export_dataset(Path("prepared/urmp"), Path("shards"), "webdataset")
```
"""

from cmcgan_core.data.export.pipeline import ExportPlan, ExportReport, export_dataset, plan_export

__all__ = ["ExportPlan", "ExportReport", "export_dataset", "plan_export"]
