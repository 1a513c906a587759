"""The contact sheet: a campaign as one page of HTML that needs nothing but itself, and the videos beside it.

``histories`` says what happened in people's words, ``frames`` what the page knows of each job, ``measures`` and
``charts`` what the run looked like, ``posters`` makes the thumbnails, ``page`` puts it all together.
``page.html``, ``page.css`` and ``page.js`` are the page itself.
"""
