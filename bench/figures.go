package main

import "slices"

// figures are all that is measured, in the order of the table.
func figures() []figure {
	return slices.Concat(inputFigures(), callFigures(), scaleFigures(), memoryFigures(), reconnectFigures())
}
