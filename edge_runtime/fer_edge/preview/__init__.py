"""The live page: what the camera sees, in any browser. `Preview` in `server` is the sink; it needs the extra [preview].

`state` takes results from the loop; `feeds` turns them into pictures and messages for those who watch; `guard` says who
may; `server` puts them on a port; page.html shows them. With nobody watching, nothing is drawn or encoded.
"""
