"""Mathematics of the searches: functions of arrays, without state, clocks or input and output."""
