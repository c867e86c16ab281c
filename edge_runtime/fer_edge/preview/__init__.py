"""The live page: camera image and results in a browser. `Preview` in `server` is the sink; needs the extra [preview].

`state` collects results; `feeds` turns them into JPEGs and events; `guard` controls access; `server` serves them;
page.html shows them. Without viewers, nothing is drawn or encoded.
"""
