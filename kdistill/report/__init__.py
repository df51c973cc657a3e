"""The report of an experiment: `collect` reads its runs into `content`, `plots` draws it, `pages` lays it out."""
