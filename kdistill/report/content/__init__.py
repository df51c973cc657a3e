"""The content of a report: numbers, arrays and text, without HTML or Matplotlib."""
