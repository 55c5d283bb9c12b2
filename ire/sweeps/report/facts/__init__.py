"""The report as plain data: what `report.json` holds, and how to run the sweep again."""
