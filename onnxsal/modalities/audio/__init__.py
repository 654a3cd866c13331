"""Sound: files, rates, waveforms, and the spectrograms that models make of them inside."""
