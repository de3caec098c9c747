package main

import "slices"

// figures returns all figures, in the order of the table.
func figures(o *options) []figure {
	return slices.Concat(
		inputFigures(), callFigures(), scaleFigures(), memoryFigures(), reconnectFigures(), clientFigures(o),
	)
}
