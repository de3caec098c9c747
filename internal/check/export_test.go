package check

// Open opens a connection once and returns the result of each step.
var Open = open
