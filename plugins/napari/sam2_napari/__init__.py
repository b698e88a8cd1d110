"""SAM 2 in napari: segment and track cells in a time-lapse with a few clicks.

``napari.yaml`` says what napari finds here. Read from the bottom up:

    axes, layer_video   an image layer as a video: which axis is time, one plane at a time
    events              what the thread of a session tells the window
    workspace           a session with its undo, and the picture of each of its frames
    tasks, edits        what a user asks of it, as generators
    engine              runs these one by one, away from the window
    convert             points and rectangles of layers, and prompts
    layers              the layers in which a user draws and in which masks appear
    control             between the two: what is drawn becomes a task, what is told becomes a picture
    sessions            the images that were worked on, each with its session
    keys, widget        the keys, and the panel with a button for each
"""
