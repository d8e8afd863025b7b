"""The page of `cmcgan app`, on which one can try a model with sounds, pictures and videos.

```
orders         what a visitor can ask for
outcomes       what comes of an order
jobs           the queue: one job at a time, limits, progress and cancelling
models         the runs that can be chosen; the one that was used last is kept in memory
work           do a job with the functions of `inference`
server         the website: routes, uploads, downloads
run            all of it together
```

The website knows nothing of models: it puts orders into the queue, and shows the jobs. The queue has one thread, which
loads the model when the first job needs it, so the page answers at once.
"""
