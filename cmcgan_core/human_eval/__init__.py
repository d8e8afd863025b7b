"""Rating studies: draw and blind items, collect answers, and summarise them.

```
designs                         questions, their answers, and the measures computed from them
draw, create                    draw real pairs, run the models, and write a study folder
study, store, export            the study folder: its plan, and raters and answers in SQLite
server, guard, pages            the website: routes, access control, HTML; see also `web`
statistics, summary, report     intervals and tests, the tables of a study, and its HTML report
```

```
draw -> create -> study, store -> server
                               -> summary -> report
```

The commands `serve`, `report`, `export`, `backup` and `forget` need only the study folder: no model and no torch.
"""
