"""Rules of the calendar in a sweep: margin windows that change with no price move, hours without trading."""
