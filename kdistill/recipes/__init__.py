"""How a teacher, a baseline and a distilled student are made and scored. `arms` is the page to read first."""
