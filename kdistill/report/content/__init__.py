"""What a report says: numbers, arrays and text. It knows neither HTML nor Matplotlib."""
