"""What an evaluation's figures mean, in plain words; keys are those of metrics.json."""

PIXELS = {
    "dice": "Overlap of the model's area and the expert's (Dice): 1 is the same area",
    "precision": "Of what the model calls tumour, the share that is (precision, PPV)",
    "recall": "Of the tumour, the share that the model finds (recall, sensitivity)",
    "specificity": "Of tissue without tumour, the share left alone (specificity)",
    "accuracy": "Share of the tissue called rightly (accuracy)",
    "npv": "Of what the model calls free of tumour, the share that is (NPV)",
    "auc": "Area under the ROC curve: 0.5 is guessing",
    "average_precision": "Average precision: the area under the precision-recall curve",
}
CELLS = {
    "f1": "F1, the balance of precision and recall",
    "balanced_accuracy": "Balanced accuracy, the mean of recall and specificity",
    "precision": "Of the cells called tumour, the share that is (precision)",
    "recall": "Of the cells with tumour, the share found (recall)",
    "specificity": "Of the cells without, the share left alone (specificity)",
    "auc": "Area under the ROC curve",
    "average_precision": "Average precision",
}
OUTLINES = {
    "surface_dice_50_um": "Share of both outlines within 50 µm of the other (surface Dice)",
    "surface_dice_100_um": "Within 100 µm",
    "surface_dice_250_um": "Within 250 µm",
}
DISTANCE = {"hd95_um": "How far apart, in µm: 95 % of either outline lies nearer (HD95)"}
LESIONS = {
    "sensitivity": "Lesions found at the threshold in use",
    "false_alarms_per_slide": "False alarms a slide at the threshold in use",
    "froc": "FROC score: lesions found, on average over the six rates below",
    "sensitivity_at_0.25": "Lesions found at 1/4 false alarm a slide",
    "sensitivity_at_0.5": "at 1/2",
    "sensitivity_at_1": "at 1",
    "sensitivity_at_2": "at 2",
    "sensitivity_at_4": "at 4",
    "sensitivity_at_8": "at 8",
}
OBJECTS = {
    "f1": "F1 of objects: found where at least half of it is covered; 1 is best",
    "recall": "Of the expert's objects, the share found",
    "precision": "Of the model's objects, the share that find one",
    "dice": "Overlap, object by object (object Dice)",
}
OBJECT_DISTANCE = {"hausdorff_um": "How far outlines of one object part, in µm (object Hausdorff)"}
AREAS = {
    "area_ratio": "Model's area / expert's, the (geometric) mean over slides",
    "area_ratio_lower_limit": "Where the ratios of 95 % of slides begin",
    "area_ratio_upper_limit": "Where they end (limits of agreement)",
}
ALARM_AREA = {
    "false_positive_mm2_without_tumour": "On slides without tumour: area called tumour, in mm²"
}
PROBABILITIES = {
    "ece": "Expected calibration error (ECE), the mean over slides: 0 is honest",
    "brier": "Brier score, the mean over slides: 0 is sure and right, 0.25 always saying 0.5",
    "pooled_ece": "ECE of all slides' tissue together",
    "pooled_brier": "Brier score of all slides' tissue together",
}
SLIDES = {
    "slide": "Slide",
    "patient": "Patient",
    "dice": "Dice",
    "tumour_area_mm2": "Model, mm²",
    "expert_area_mm2": "Expert, mm²",
    "area_interval_mm2": "Interval, mm²",
    "false_positive_mm2": "False alarms, mm²",
    "hd95_um": "Outlines apart (HD95), µm",
    "surface_dice_100_um": "Outline within 100 µm",
    "n_lesions": "Lesions",
    "lesions_found": "Lesions found",
    "false_alarms": "False alarms, places",
    "object_f1": "Objects, F1",
    "object_dice": "Objects, Dice",
    "ece": "ECE",
}
SOMETIMES = ("area_interval_mm2", "object_f1", "object_dice")  # columns that need values
INTERVALS = {
    "kind": "Kind",
    "promised": "Promised",
    "held": "Held for",
    "slides_held": "Slides within",
    "relative_width": "Median width / expert's area",
}
METHOD = """<p>Counted are places that the expert labelled, on tissue or within the expert's tumour.
Pixels, cells and lesions are those of all slides together; outlines, areas and the first two
figures of probabilities are means over slides, each counting alike, where they are defined.</p>
<p><b>Intervals</b> hold 95 % of what {interval} give: patients are drawn, for what lies on
slides of one patient is alike. With few patients they are too narrow rather than too wide; a single
patient has none.</p>
<p><b>Outlines.</b> HD95 is the larger of the two directed 95th percentiles of distance
(Huttenlocher 1993); surface Dice as in Nikolov 2021. Where labels or the map end is no outline.</p>
<p><b>Lesions.</b> Parts of an expert's tumour at most 100 µm apart are one lesion, which
reaches 50 µm beyond its outline. Candidates are the map's highest places, on squares of
{lesion_cell} µm, no two within {apart} µm of each other; one in a lesion finds it, any other
is a false alarm, so that a large wrong area counts many times. As in CAMELYON16
(Ehteshami Bejnordi 2017), candidates as in Liu 2017.</p>
{objects}<p><b>Areas.</b> Bland and Altman 1986, on logarithms.</p>
<p><b>Probabilities.</b> {bins} bins of equal width (Guo 2017) of the values as stored.</p>"""
OBJECT_METHOD = """<p><b>Objects.</b> As in the GlaS challenge (Sirinukunwattana 2017), over the
objects of all slides together. An object's partner is the one of the other side that it overlaps
most. One of the model's is right when it covers at least half of its partner. Object Dice and
Hausdorff distance are means over the objects of both sides, weighted by area; one that overlaps
nothing has a Dice of 0 and the distance of the nearest.</p>
"""
