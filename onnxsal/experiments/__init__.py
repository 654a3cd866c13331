"""The papers' experiments, the comparison of two models, and the study with people; import the module you need."""
