"""One use of the tool a file: the functions that the command line and the Python interface share."""

ON = ("golden", "executor", "csim", "rtl", "onnxruntime")  # what can compute logits
