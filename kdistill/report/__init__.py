"""What became of an experiment, as a page for people: collected from its folder, drawn, and laid out.

`material` says what a page tells, in numbers, arrays and text. Whatever collects it fills that in; whatever draws it or
lays it out reads nothing else.
"""
