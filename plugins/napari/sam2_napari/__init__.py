"""SAM 2 in napari: segment and track cells in a time-lapse with a few clicks.

``napari.yaml`` says what napari finds here. From what knows nothing of the others to the panel:

    advice, quiet, axes     errors in a user's words; changes of our own; which axis of an image is what
    layer_video, samples    an image layer as a video, one plane at a time; the sample
    convert, mask_array     points and rectangles of layers, and prompts; where masks are painted
    events, measures        what the thread of a session tells the window
    models, autosave        models, each loaded once; where work is kept in case of a crash
    workspace               a session with its undo, and the label image of each of its frames
    tasks, edits            what a user asks of it, as generators: prompts and tracking, whole objects
    opening, files          the same: models and saved sessions, saving and exporting
    engine                  runs these one by one, away from the window
    layers, strokes         the layers in which a user draws and in which masks appear
    keeping, control        when work is kept; what is drawn becomes a task, what is told is shown
    sessions                the images that were worked on, each with its session
    form, objects, keys     the fields and buttons, the table of objects, the keys
    actions, widget         what buttons and keys do, and the panel
    reader                  saved sessions that are dropped on the window
"""
