"""Rating studies: draw and blind items, collect answers, summarise them.

```
draw, create                    pairs, what each model makes of them, and the study folder from both
study, store, export            that folder: its plan, and raters and answers in SQLite
server, admin, guard, pages     the web page: its routes, who may do what, its HTML
statistics, summary, report     answers to intervals, tests, tables and a page
```

```
draw -> create -> study, store -> server
                               -> summary -> report
```

A study folder is all that `serve`, `report` and `export` need: no model and no torch.
"""
