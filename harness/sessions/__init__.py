"""Sessions: compose record and replay into what users do with recorded runs."""
