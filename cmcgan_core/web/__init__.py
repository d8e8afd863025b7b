"""What the websites share: the rating study of `human_eval`, and the page of `app`.

```
texts          the texts of pages, in several languages
pages          Jinja templates
static_files   style sheets, scripts and icons
guard          checks of requests, security headers
connections    time limits of requests, and room for everybody
serving        run a website on a port
```
"""
