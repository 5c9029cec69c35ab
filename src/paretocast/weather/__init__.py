"""Weather forecasts from Open-Meteo, as the tables of weather runs that data sets read."""
