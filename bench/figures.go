package main

import "slices"

// figures are all that is measured, in the order of the table.
func figures(o *options) []figure {
	return slices.Concat(
		inputFigures(), callFigures(), scaleFigures(), memoryFigures(), reconnectFigures(), clientFigures(o),
	)
}
