"""The project in this folder is run by the tests here, never collected with them."""

collect_ignore = ["project"]
